"""The folders that other model servers load as they are."""
