"""Scores of trained networks, the measures computed from them, and the report."""
