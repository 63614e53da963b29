"""Floor 6: runs behind HTTP: the Open Inference Protocol, an endpoint for people, a page, a judge of other servers."""
