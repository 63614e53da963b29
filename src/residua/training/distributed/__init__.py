"""Training in several processes: slices of batches, gradients, what is shared, what is refused."""
