"""The data-set doctor: what is wrong with a folder of images before anyone trains on it."""
