"""Floor 6: speed beside peers, taking turns in one process."""
