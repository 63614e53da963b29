"""Labels: which of them are probably wrong, and which images to label next."""
