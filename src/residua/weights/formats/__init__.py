"""Files of other frameworks, read without those frameworks and believed in nothing that was not checked."""
