"""`python -m residua` is the command."""

import os
import sys

# `python -m` puts the working directory first: a json.py in a folder of images would run.
if not sys.flags.safe_path and sys.path[0] == os.getcwd():
    del sys.path[0]

from residua.cli.app import run

run()
