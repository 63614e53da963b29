"""The endpoints: each reads a request, calls what serves, writes a response."""
