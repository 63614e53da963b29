"""Hold any server against the Open Inference Protocol over HTTP, point by point. Needs no package of a server."""
