"""Recipes, optimizers, checkpoints and the training loop."""
