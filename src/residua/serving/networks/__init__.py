"""What computes the logits of a served model: a run by torch, or a converted graph without it."""
