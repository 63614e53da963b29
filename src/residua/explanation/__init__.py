"""Where in an image the evidence for a class stands: attribution methods, their sanity check, and their pictures."""
