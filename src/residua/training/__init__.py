"""Floor 5: recipes, optimizers, checkpoints and the training loop."""
