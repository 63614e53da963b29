"""Short trainings before a run, on networks of their own: learning rate, batch size, time and memory."""
