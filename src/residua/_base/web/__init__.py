"""The network: requests without secrets in their errors, and downloads that resume and are checked by hash."""
