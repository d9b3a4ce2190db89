from __future__ import annotations

import tomllib
from pathlib import Path
from typing import get_args

import pytest

from thaw.config.errors import Extra, InputError, check_no_repeats, install_hint, nearest

PYPROJECT = Path(__file__).resolve().parents[2] / "pyproject.toml"


def test_every_extra_that_a_message_names_can_be_installed() -> None:
    extras = tomllib.loads(PYPROJECT.read_text(encoding="utf-8"))["project"][
        "optional-dependencies"
    ]
    assert set(get_args(Extra)) == set(extras) - {"dev", "docs"}
    assert install_hint("atari") == "pip install 'thaw[atari]'"


def test_a_hint_names_the_nearest_word_or_none() -> None:
    assert nearest("catsh", ["catch", "atari"]) == "; did you mean 'catch'?"
    assert nearest("zzz", ["catch", "atari"]) == "."


def test_a_repeated_item_is_named() -> None:
    check_no_repeats("seeds", [1, 2])
    with pytest.raises(InputError, match=r"^seeds: '1' is there twice; name each once$"):
        check_no_repeats("seeds", [1, 2, 1])
