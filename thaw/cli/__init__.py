"""The command line; :func:`main` is the program ``thaw``."""

from thaw.cli.main import main

__all__ = ["main"]
