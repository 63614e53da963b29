"""The run and its bundle, other people's files of weights, weights by name."""
