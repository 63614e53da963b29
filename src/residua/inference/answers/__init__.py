"""Answers for many images, written to a file that can be taken up again after a kill."""
