"""What studies measure of a trained network: its images, its units, its gradients."""
