"""A run as a folder of static files that classifies in the browser."""
