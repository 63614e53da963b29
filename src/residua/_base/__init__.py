"""Floor 0: what every other floor may use. No torch, no numpy."""
