"""Floor 6: how fast a network is, on this machine, beside its peers."""
