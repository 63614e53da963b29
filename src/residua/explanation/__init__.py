"""Where in an image the evidence for a class lies: attribution methods, their sanity check, and their pictures."""
