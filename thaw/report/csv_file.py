"""Reads a CSV file from anybody: what pandas would misread is an error of one line."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from os import PathLike
from pathlib import Path

import pandas as pd

from thaw.config.errors import InputError


def read_csv(path: str | PathLike[str], required: Sequence[str]) -> pd.DataFrame:
    """Read a CSV file as text.

    Args:
        path: A file in UTF-8 whose first line names the columns.
        required: Names of columns, for the error of an empty file.

    Returns:
        One row per line; every value is a text.

    Raises:
        InputError: The file is missing, empty, not CSV, names two columns alike, or has a row
            that is longer than its header.
    """
    if not Path(path).is_file():
        raise InputError(f"{path}: no such file; give the path of a CSV file")
    _check_shape(path)
    try:  # all values as text first: pandas would read a flavor named NA or 1e5 as a number
        frame = pd.read_csv(path, dtype=str, keep_default_na=False, encoding="utf-8")
    except pd.errors.EmptyDataError:
        raise InputError(
            f"{path}: the file is empty; its first line must name the columns, at least "
            f"{', '.join(required)}"
        ) from None
    except (pd.errors.ParserError, UnicodeDecodeError) as error:
        reason = str(error).strip().splitlines()[-1]
        raise InputError(f"{path}: not a CSV file in UTF-8 ({reason}); save it as one") from None
    frame.columns = pd.Index([str(column).strip() for column in frame.columns])
    return frame


def _check_shape(path: str | PathLike[str]) -> None:
    """Check that a file's columns have different names and that no row is longer than its header.

    pandas would rename the second of two equal columns, and shift a row that is too long.
    """
    try:
        with Path(path).open(newline="", encoding="utf-8-sig") as file:
            rows = csv.reader(file)
            header = [name.strip() for name in next(rows, [])]
            repeated = next((name for name in header if header.count(name) > 1), None)
            if repeated is not None:
                raise InputError(f"{path}: two columns are named '{repeated}'; remove one of them")
            for number, row in enumerate(rows, 1):
                if len(row) > len(header):
                    raise InputError(
                        f"{path}: row {number} has {len(row)} values, but there are {len(header)} "
                        "columns; remove the extra values, or put a value with a comma in quotes"
                    )
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"{path}: not a CSV file in UTF-8 ({error}); save it as one") from None
