"""Other people's weights: one module a source, each with the functions of `residua.weights.sources.source.Source`."""
