"""What a run states of itself while it trains."""
