"""Floor 4: the receipts: counts against what was published, logits against the peers that are installed."""
