"""A network as a picture: sections of one resolution, blocks in them, the ways around, and the units in detail."""

from residua.anatomy.drawing.draw import draw as draw
