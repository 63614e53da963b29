"""Floor 2: one file a family, each an `nn.Module` that reads its spec."""
