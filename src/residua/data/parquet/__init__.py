"""Images in parquet files, in Hugging Face's layout: reading them by row groups."""
