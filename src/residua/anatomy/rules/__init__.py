"""What an operation costs, by its formula: one rule a kind of layer."""
