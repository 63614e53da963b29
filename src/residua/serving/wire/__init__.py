"""The Open Inference Protocol on the wire: bodies, JSON, tensors; bytes in, values out, nothing served."""
