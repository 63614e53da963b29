"""Several processes behind one address: workers read and decode, one engine process computes for all of them."""
