"""The version, stated once: the package, its metadata and every file that it writes take it from here."""

__version__ = "0.1.0"
