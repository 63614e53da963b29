"""Sweeps: networks times values of the recipe times seeds, each an ordinary run, and a table of means."""
