"""`python -m residua` is the command."""

from residua.cli.app import run

run()
