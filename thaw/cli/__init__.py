"""The command line; :func:`main` is the command ``thaw``."""

from thaw.cli.main import main

__all__ = ["main"]
