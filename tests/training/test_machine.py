"""machine.json remembers what played, and nothing secret."""

from __future__ import annotations

import pytest

from thaw.config.errors import InputError
from thaw.config.flavor import Flavor
from thaw.config.runtime import Runtime
from thaw.training.machine import describe_machine, resolve_device


def test_an_atari_run_remembers_its_rom_and_engine() -> None:
    machine = describe_machine(Runtime(), Flavor("atari/breakout@m12d0"))
    environment = machine["environment"]
    assert isinstance(environment, dict)
    assert set(environment) == {"rom", "rom_md5", "ale_py", "envpool"}
    assert environment["rom"] == "breakout"
    # The checksum that ALE's own list of supported ROMs has for Breakout.
    assert environment["rom_md5"] == "f34f08e5eb96e500e851a80be3277a56"
    assert describe_machine(Runtime(), Flavor("catch"))["environment"] == {}


def test_no_variable_of_the_environment_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SECRET_TOKEN", "do-not-tell")
    assert "do-not-tell" not in str(describe_machine(Runtime(), Flavor("catch")))


@pytest.mark.parametrize("name", ["tpu", "meta", "cuda:99"])
def test_a_device_that_is_not_there_is_refused_in_one_line(name: str) -> None:
    with pytest.raises(InputError) as caught:
        resolve_device(name)
    assert "\n" not in str(caught.value)
