"""One file per question: its grid, its measure, its verdict."""
