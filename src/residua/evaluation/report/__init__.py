"""The report: its value, its sections, its page."""
