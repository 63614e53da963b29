"""Speed beside peers, taking turns in one process."""
