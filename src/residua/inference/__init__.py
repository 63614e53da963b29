"""Floor 5: images in, answers out."""
