"""Calls functions of the user's own, named as ``module:function``."""

from __future__ import annotations

from thaw.config.errors import InputError


def call_by_name(address: str, *arguments: object) -> object:
    """Call ``module:function``.

    Raises:
        InputError: There is no such module or function, or it fails.
    """
    import importlib
    import traceback

    module_name, _, function_name = address.partition(":")
    try:
        function = getattr(importlib.import_module(module_name), function_name)
    except Exception as error:  # importing runs the user's code, which may raise anything
        raise InputError(f"'{address}' is not module:function: {error}") from error
    try:
        return function(*arguments)
    except InputError:
        raise
    except Exception as error:
        place = traceback.extract_tb(error.__traceback__)[-1]
        raise InputError(
            f"'{address}' failed: {type(error).__name__}: {error} "
            f"({place.filename}, line {place.lineno})"
        ) from error
