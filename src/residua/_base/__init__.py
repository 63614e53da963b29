"""What every other floor may use. No torch, no numpy."""
