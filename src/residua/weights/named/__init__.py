"""Weights by name: found, fetched, read, fitted."""
