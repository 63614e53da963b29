"""Decoded images that are kept between runs, and what they were decoded from."""
