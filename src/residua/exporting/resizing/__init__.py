"""Resize and crop inside a graph, so that it takes images of any size."""
