"""Answers of "I do not know": scores of being unknown, their threshold, and how well they separate."""
