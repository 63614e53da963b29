"""What an export folder states, read without torch."""
