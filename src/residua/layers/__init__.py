"""From tensor to tensor: what networks are made of. No specs."""
