"""How images of a file of weights are prepared: stated, given or assumed, by one rule."""
