"""The sections of the page: one frozen value and one template each."""
