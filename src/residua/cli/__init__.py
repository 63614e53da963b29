"""The command. Each subcommand is one library call and the printing of its result."""
