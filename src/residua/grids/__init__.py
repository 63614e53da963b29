"""Floor 6: many runs at once, each in a process of its own."""
