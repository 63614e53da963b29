"""One file a question: its grid, its measure, its verdict."""
