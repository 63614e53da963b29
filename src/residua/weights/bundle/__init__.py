"""The bundle: weights and all that is needed to use them, in one file."""
