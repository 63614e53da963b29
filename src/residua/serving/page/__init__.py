"""The page for people: three files without any outside resource."""
