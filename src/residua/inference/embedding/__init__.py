"""Images as vectors: embeddings, their files, and the images most alike."""
