"""One file a family, each an `nn.Module` that reads its spec."""
