"""What users can get wrong: each is one line that says what to do."""

from __future__ import annotations

import builtins
import socket
import sys
from pathlib import Path
from typing import Any

import pytest

from thaw.config.errors import InputError
from thaw.envs.androidenv.task_files import TASK_FOLDER
from thaw.envs.families import make_env

CATCH = (TASK_FOLDER / "catch_default.textproto").read_text()


def refused(address: str, num_envs: int = 1, **options: Any) -> str:
    """Return the message of the error, which must be one line."""
    with pytest.raises(InputError) as caught:
        make_env(address, num_envs, **options)
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.fixture
def sdk(tmp_path: Path) -> dict[str, Any]:
    """Return the options of an SDK whose tools always fail, with one AVD."""
    for tool in ("platform-tools/adb", "emulator/emulator"):
        path = tmp_path / "sdk" / tool
        path.parent.mkdir(parents=True)
        path.write_text("#!/bin/sh\necho broken >&2\nexit 1\n")
        path.chmod(0o755)
    (tmp_path / "avd").mkdir()
    (tmp_path / "avd" / "catch_0.ini").touch()
    return {
        "android_sdk_root": str(tmp_path / "sdk"),
        "android_avd_home": str(tmp_path / "avd"),
        "avd_name": "catch_{index}",
    }


def test_without_android_env(monkeypatch: pytest.MonkeyPatch) -> None:
    real_import = builtins.__import__

    def without(name: str, *arguments: Any) -> Any:
        if name.split(".")[0] == "android_env":
            raise ModuleNotFoundError(f"No module named '{name}'", name=name)
        return real_import(name, *arguments)

    for module in [m for m in sys.modules if m.startswith("thaw.envs.androidenv")]:
        monkeypatch.delitem(sys.modules, module)
    monkeypatch.setattr(builtins, "__import__", without)
    assert refused("androidenv/catch?device=simulated") == (
        "flavor 'androidenv/catch?device=simulated' needs the package android_env, which is not "
        "installed: pip install 'thaw[androidenv]'"
    )


@pytest.mark.parametrize(
    ("address", "message"),
    [
        ("androidenv/catch@big_ball", "did you mean 'large_ball'?"),
        ("androidenv/katch", "did you mean 'catch'?"),
        ("androidenv/no/such.textproto", "there is no file 'no/such.textproto' in"),
        ("androidenv/../a.textproto", "'..' is not allowed"),
        ("androidenv/a.textproto@large_ball", "has no variant 'large_ball'"),
        ("androidenv/catch?device=phone", "device"),
        ("androidenv/catch?device=simulated&num_actions=55", "num_actions"),
        ("androidenv/catch?device=simulated&touch_noize=0", "did you mean 'touch_noise'?"),
        ("androidenv/catch?device=simulated&avd_name=a", "avd_name is an option of device=emul"),
        ("androidenv/catch?frame_ms=20", "frame_ms is an option of device=simulated"),
        ("androidenv/catch?device=simulated&steps_per_second=9", "or choose clock=real"),
        ("androidenv/catch", "needs a device: avd_name=NAME"),
        ("androidenv/catch?adb_port=5555", "emulator_console_port, grpc_port is missing"),
        ("androidenv/catch?device=simulated&apk=none.apk", "there is no app 'none.apk'"),
    ],
)
def test_wrong_addresses(address: str, message: str) -> None:
    assert message in refused(address)


def test_an_avd_runs_only_once() -> None:
    assert "put {index} in the name" in refused("androidenv/catch?avd_name=one", 2)


def test_no_tools(tmp_path: Path, sdk: dict[str, Any]) -> None:
    (tmp_path / "sdk/platform-tools/adb").unlink()
    assert "no adb at" in (line := refused("androidenv/catch", **sdk))
    assert "sdkmanager platform-tools" in line
    sdk["adb_path"] = "/bin/true"
    (tmp_path / "sdk/emulator/emulator").unlink()
    assert "no emulator at" in refused("androidenv/catch", **sdk)


def test_no_avd(sdk: dict[str, Any]) -> None:
    assert "no AVD 'catch_1' in" in (line := refused("androidenv/catch", 2, **sdk))
    assert "There are catch_0" in line


def test_no_app(sdk: dict[str, Any]) -> None:
    assert "there is no app 'catch.apk'; build it" in refused("androidenv/catch", **sdk)


def test_an_adb_that_fails(tmp_path: Path, sdk: dict[str, Any]) -> None:
    (tmp_path / "catch.apk").touch()
    line = refused("androidenv/catch", apk=str(tmp_path / "catch.apk"), **sdk)
    assert line.startswith("flavor 'androidenv/catch', device 0 does not start: CalledProcessError")
    assert "returned non-zero exit status 1" in line


def test_no_emulator_on_the_port(sdk: dict[str, Any]) -> None:
    with socket.socket() as unused:
        unused.bind(("localhost", 0))  # taken, but no process listens
        port = unused.getsockname()[1]
        ports = {"adb_port": 5555, "emulator_console_port": 5554, "grpc_port": port}
        assert f"no emulator answers on grpc_port {port}" in refused(
            "androidenv/catch", **ports, **sdk
        )


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("setup_steps", "set_up_steps", 'no field named "set_up_steps"'),
        ("adb_request", "adb_call", "tasks from 2021 have adb_call in place of adb_request"),
        (
            "true$",
            "true)$",
            "expression '^[0-9]+ - true)$' in log_regexps: unbalanced",
        ),
    ],
)
def test_a_task_that_does_not_parse(tmp_path: Path, old: str, new: str, message: str) -> None:
    path = tmp_path / "mine.textproto"
    path.write_text(CATCH.replace(old, new))
    assert message in refused(f"androidenv/{path}?device=simulated")


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('"BLACK"', '"BLUISH"', "background_color='BLUISH' is not an Android color"),
        ('"10.0"', '"ten"', "--ef ballRadius 'ten' is not a number"),
        (".catch.MainActivity", ".catch.OtherActivity", "does not exist"),
        ("check_install: { package_name: \"com.google.androidenv.catch\"",
         "check_install: { package_name: \"com.other\"", "'com.other' is not installed"),
    ],
)  # fmt: skip
def test_a_task_that_the_phone_does_not_understand(
    tmp_path: Path, old: str, new: str, message: str
) -> None:
    path = tmp_path / "mine.textproto"
    path.write_text(CATCH.replace(old, new))
    with pytest.raises(InputError, match=message):
        make_env(f"androidenv/{path}?device=simulated", seed=0)
