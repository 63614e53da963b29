"""What Pillow opens only in part: orders of a BMP's bytes, and colours of more than 8 bits."""
