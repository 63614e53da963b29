"""Graphs: a network as other runtimes take it, converted here alone."""
