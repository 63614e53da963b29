"""Images in tar shards, in WebDataset's layout: reading and writing them."""
