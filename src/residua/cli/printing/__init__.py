"""What commands print: reports, networks side by side, a dry run, as text."""
