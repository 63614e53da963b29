"""Following a run while it trains: the protocol of trackers, those known by name, and what keeps them harmless."""
