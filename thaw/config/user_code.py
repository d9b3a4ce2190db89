"""Import modules and call functions that the user names."""

from __future__ import annotations

import importlib
import traceback
from types import ModuleType

from thaw.config.errors import InputError, one_line


def import_by_name(name: str) -> ModuleType:
    """Import a module of the user.

    Raises:
        InputError: There is no such module, or its code fails; the message names the line.
    """
    try:
        return importlib.import_module(name)
    except ImportError as error:
        package = name.partition(".")[0]
        # Not for a module that is there and imports something else that is missing.
        is_missing = isinstance(error, ModuleNotFoundError) and error.name == package
        hint = (
            f"; make it importable: `pip install -e .` in the folder of {package}, or that folder "
            "in PYTHONPATH"
        )
        raise InputError(f"no module '{name}': {error}{hint if is_missing else ''}") from error
    except Exception as error:  # importing runs the user's code, which may raise anything
        raise InputError(f"the module '{name}' failed: {_where(error)}") from error


def call_by_name(address: str, *arguments: object) -> object:
    """Call ``module:function``.

    Raises:
        InputError: There is no such module or function, or it fails.
    """
    module_name, _, function_name = address.partition(":")
    try:
        function = getattr(import_by_name(module_name), function_name)
    except (InputError, AttributeError, ValueError) as error:
        raise InputError(f"'{address}' is not module:function: {error}") from error
    try:
        return function(*arguments)
    except InputError:
        raise
    except Exception as error:
        raise InputError(f"'{address}' failed: {_where(error)}") from error


def _where(error: Exception) -> str:
    """Say in one line what an error is and where it was raised."""
    place = traceback.extract_tb(error.__traceback__)[-1]
    text = one_line(error)
    if isinstance(error, SyntaxError):  # it was found in the file, not raised by it
        return text
    return f"{text} ({place.filename}, line {place.lineno})"
