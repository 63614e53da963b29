"""Floor 3: what a network is made of and what it costs, from one pass over its shapes."""
