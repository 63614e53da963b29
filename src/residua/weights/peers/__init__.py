"""Networks of other libraries that compute what ours compute."""
