"""Engines: who computes logits from images, behind one protocol."""
