"""The evaluation transform, executed: resize and crop, then normalise, by torch or by NumPy."""
