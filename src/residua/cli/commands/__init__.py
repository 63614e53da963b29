"""One file a command: its options, one library call, its printing."""
