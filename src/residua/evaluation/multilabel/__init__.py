"""Evaluation where an image may have several labels: the report, its page, comparison."""
