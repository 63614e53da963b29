"""What stands in a run's folder: how the run was begun, who holds it, checkpoints."""
