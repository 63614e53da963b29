"""Controlled studies: grids of networks under one recipe, measured, with a verdict and a page."""
