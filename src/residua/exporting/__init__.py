"""Floor 5: a run as a file for other runtimes, each proven beside the run on this machine."""
