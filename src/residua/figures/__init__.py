"""Axes, lines, bars and diagrams as SVG, overlays and contact sheets, and the layered style sheet."""
