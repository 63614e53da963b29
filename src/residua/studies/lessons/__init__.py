"""A course in eight steps, each of which runs what it teaches; `learn.learn` does them and writes the page."""
