"""Logits of a pass over a split, their cache, and who has seen which images."""
