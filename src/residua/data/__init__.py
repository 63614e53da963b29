"""Images: where they come from, decoded, cached, augmented, in batches."""
