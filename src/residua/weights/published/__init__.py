"""The catalog of published weights: what there is, where it lies, what is known of it."""
