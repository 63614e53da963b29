"""A network as a picture: sections of one resolution, their blocks and shortcuts, and the units in detail."""

from residua.anatomy.drawing.columns import draw_columns as draw_columns
from residua.anatomy.drawing.draw import draw as draw
