"""Arithmetic on scores: every number of the report, free of networks and files."""
