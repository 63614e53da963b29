"""Floor 1: axes, lines, bars and diagrams as SVG, and the one style sheet."""
