"""Ray on this machine: private, alone for its run, and gone with it."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import uuid
from contextlib import suppress
from pathlib import Path

import pytest
from command_line import TINY, thaw_command, thaw_here, thaw_process
from remote_runs import few
from small_runs import changed, rows_of

from thaw.acting.remote import reaper
from thaw.acting.remote.ray_session import RaySession
from thaw.config.errors import InputError
from thaw.config.runtime import Runtime
from thaw.files.run_folder import RunFolder
from thaw.training.run import execute_run

ray = pytest.importorskip("ray", reason="pip install 'thaw[ray]'")

LISTENING = "0A"
LOOPBACK = {"0100007F", "0000000000000000FFFF00000100007F", "00000000000000000000000001000000"}
"""127.0.0.1 as /proc/net/tcp and tcp6 write it, and ::1."""

needs_proc = pytest.mark.skipif(
    not Path("/proc/self/comm").exists(), reason="processes are found in /proc, which Linux has"
)

SMALL = ("--set", "environment.downsample=16", "--set", "environment.frames_per_step=8")


def test_without_ray_the_error_says_how_to_install_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(InputError, match=r"needs Ray: pip install 'thaw\[ray\]'") as caught:
        execute_run(few(), RunFolder(tmp_path / "run"), Runtime())
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "run").exists()
    lockstep = changed(few(num_updates=1), agent={"clock": "lockstep"})
    assert execute_run(lockstep, RunFolder(tmp_path / "run"), Runtime())["steps"] > 0


def test_an_address_at_which_no_server_listens_is_found_at_once(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # but does not listen
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        started = time.monotonic()
        with pytest.raises(InputError, match=f"no Ray cluster answers at '{address}'"):
            execute_run(few(), RunFolder(tmp_path / "run"), Runtime(ray_address=address))
    assert time.monotonic() - started < 10
    assert not (tmp_path / "run").exists()


def test_wrong_input_is_one_line_and_status_2(tmp_path: Path) -> None:
    asynchronous = ("train", "catch", "--out", "run", "--steps", "100", *SMALL)
    for settings, message in (
        (
            ("agent.clock=asynchronous", "environment.num_envs=4"),
            "agent.actors is 5 and environment.num_envs 4; each actor needs an environment",
        ),
        (("agent.clock=asynchronous", "agent.actors=0"), "agent.actors: expected a whole number"),
        (("agent.clock=asynchronos",), "did you mean 'asynchronous'?"),
    ):
        pairs = [word for setting in settings for word in ("--set", setting)]
        spoken = thaw_here(*asynchronous, *pairs, cwd=tmp_path)
        assert spoken.status == 2, spoken
        assert message in spoken.err
        assert spoken.err.count("\n") == 1
        assert list(tmp_path.iterdir()) == []


def descendants(mark: str, place: Path) -> list[int]:
    """Every process that inherited a mark in its environment, or writes in a folder."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            files = [os.readlink(file) for file in (folder / "fd").iterdir()]
            is_there = any(file.startswith(str(place)) for file in files)
            if is_there or mark.encode() in (folder / "environ").read_bytes():
                found.append(int(folder.name))
        except OSError:
            continue
    return found


def name_of(process_id: int) -> str:
    try:
        return Path(f"/proc/{process_id}/comm").read_text().strip()
    except OSError:  # it has just ended
        return ""


def tmp_path_of_few_letters() -> Path:
    """Ray's sockets lie in it, and their paths may have 107 letters."""
    return Path(tempfile.mkdtemp(dir="/tmp"))


def train_command() -> tuple[str, ...]:
    """An asynchronous run without an end."""
    return (
        "train", "catch", "--out", "run", "--steps", "1_000_000", *SMALL, "--set",
        "agent.clock=asynchronous", "--set", "agent.actors=2", "--set", "environment.num_envs=4",
        "--set", "agent.embedding=impala_shallow",
    )  # fmt: skip


def wait_for_rows(process: subprocess.Popen[str], folder: Path, num_rows: int = 1) -> None:
    """Wait until a run has learned and written some rows."""
    progress = folder / "progress.csv"
    deadline = time.monotonic() + 240  # on a busy machine, Ray and torch start slowly
    while time.monotonic() < deadline:
        if progress.exists() and len(rows_of(progress)) >= num_rows:
            return
        assert process.poll() is None, process.communicate()
        time.sleep(0.1)
    process.kill()  # else its end would be waited for
    raise AssertionError("the run makes no updates")


@needs_proc
@pytest.mark.long
@pytest.mark.parametrize(
    "signum",
    [
        signal.SIGINT,
        pytest.param(signal.SIGTERM, marks=pytest.mark.slow),
        pytest.param(signal.SIGKILL, marks=pytest.mark.slow),
    ],
)
def test_all_processes_end_with_the_run(tmp_path: Path, signum: signal.Signals) -> None:
    mark = f"mark-{uuid.uuid4()}"
    folder = tmp_path_of_few_letters()
    environment = {"THAW_TEST": mark, "TMPDIR": str(folder)}
    with thaw_process(*train_command(), cwd=tmp_path, **environment) as process:
        wait_for_rows(process, tmp_path / "run")
        assert len(descendants(mark, folder)) > 6, "Ray has seven, and there are two actors"
        # Ctrl-C reaches every process of the group, Ray's too.
        send = os.killpg if signum == signal.SIGINT else os.kill
        send(process.pid, signum)
        _, err = process.communicate(timeout=60)
    if signum == signal.SIGKILL:
        assert process.returncode == -signal.SIGKILL
    else:
        assert process.returncode == 128 + signum
        assert err == "saved in run; the same command continues\n"
        assert RunFolder(tmp_path / "run").saved_steps() > 0
        assert list(folder.glob("thaw-ray-*")) == []
    deadline = time.monotonic() + 20
    while descendants(mark, folder) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert descendants(mark, folder) == []
    assert list(folder.glob("thaw-ray-*")) == []
    shutil.rmtree(folder)


def kill_raylet(place: Path, folder: Path) -> tuple[int, int, list[str]]:
    """Start or resume a run and kill its raylet: steps before the kill, status, error lines."""
    mark = f"mark-{uuid.uuid4()}"
    environment = {"THAW_TEST": mark, "TMPDIR": str(folder)}
    progress = place / "run" / "progress.csv"
    with thaw_process(*train_command(), cwd=place, **environment) as process:
        num_rows = len(rows_of(progress)) if progress.exists() else 0
        wait_for_rows(process, place / "run", num_rows + 1)
        steps = int(rows_of(progress)[-1]["steps"])
        (raylet,) = (i for i in descendants(mark, folder) if name_of(i) == "raylet")
        os.kill(raylet, signal.SIGKILL)
        _, err = process.communicate(timeout=60)
    return steps, process.returncode, err.splitlines()


@needs_proc
@pytest.mark.slow
def test_the_death_of_ray_saves_the_run_and_is_explained_in_one_line(tmp_path: Path) -> None:
    folder = tmp_path_of_few_letters()
    # Ray ends the process if the death falls between a check and a call: then nothing is saved,
    # and the last checkpoint serves. That is rare, so one of a few deaths is noticed in time.
    for _ in range(4):
        steps, status, err = kill_raylet(tmp_path, folder)
        assert status == 1
        # Ray itself may have written the end of its log before.
        assert err[-1] == (
            "thaw: Ray's raylet process died; was it killed, or is memory short? The same command "
            "continues the run from its last checkpoint"
        )
        if RunFolder(tmp_path / "run").saved_steps() >= steps:
            break
    else:
        raise AssertionError("no death was noticed in time to save the run")
    assert list(folder.glob("thaw-ray-*")) == []
    shutil.rmtree(folder, ignore_errors=True)


@needs_proc
def test_a_death_of_ray_that_ends_the_process_at_once_is_explained_too(tmp_path: Path) -> None:
    """The reaper speaks: killed are the raylet, and then the run as Ray would end it."""
    folder = tmp_path_of_few_letters()
    script = """
import os, signal, time
from thaw.acting.remote.ray_session import RaySession
session = RaySession("local", num_cpus=1, store_bytes=2**20)
from pathlib import Path
(raylet,) = (p for p in Path("/proc").glob("[0-9]*/comm") if p.read_text() == "raylet\\n"
             and session.folder in os.fsdecode((p.parent / "cmdline").read_bytes()))
os.kill(int(raylet.parent.name), signal.SIGKILL)
time.sleep(1)
os._exit(1)
"""
    ended = subprocess.run(
        [sys.executable, "-c", script], env=os.environ | {"TMPDIR": str(folder)},
        capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    assert ended.returncode == 1, ended
    assert ended.stderr.splitlines()[-1].startswith("thaw: Ray's raylet process died; ")
    shutil.rmtree(folder, ignore_errors=True)


def listening(process_ids: set[int]) -> dict[str, set[str]]:
    """Local addresses of the listening TCP sockets of some processes, in the system's hex."""
    inodes = set()
    for process_id in process_ids:
        for file in Path(f"/proc/{process_id}/fd").iterdir():
            with suppress(OSError):  # closed meanwhile
                inodes.add(os.readlink(file).removeprefix("socket:[").removesuffix("]"))
    found: dict[str, set[str]] = {}
    for table in ("tcp", "tcp6"):
        rows = Path(f"/proc/net/{table}").read_text().splitlines()[1:]
        for local, _, state, *_, inode in (r.split()[1:10] for r in rows):
            if state == LISTENING and inode in inodes:
                found.setdefault(local.partition(":")[0], set()).add(local.partition(":")[2])
    return found


@pytest.mark.skipif(not Path("/proc/net/tcp").exists(), reason="sockets are found in /proc")
def test_ray_is_this_user_s_on_this_machine_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    for _ in range(2):  # the second session has another token
        session = RaySession("local", num_cpus=1, store_bytes=2**20)
        try:
            assert ray.get(ray.remote(lambda: 7).remote(), timeout=60) == 7
            assert session.folder is not None
            folder = Path(session.folder)
            processes = set(reaper.belonging(str(folder)))
            sockets = listening(processes)
            assert os.getpid() in processes
            assert sum(len(ports) for ports in sockets.values()) >= 6
            assert set(sockets) <= LOOPBACK, sockets
            assert folder.stat().st_mode & 0o777 == 0o700
            assert (folder / "auth_token").stat().st_mode & 0o777 == 0o600
        finally:
            session.close()
        assert not folder.exists()
    assert list(tmp_path.iterdir()) == [], "Ray would write its token to ~/.ray"


@pytest.mark.slow
def test_two_asynchronous_runs_of_a_suite_work_at_the_same_time(tmp_path: Path) -> None:
    (tmp_path / "tiny.yaml").write_text(
        TINY.replace("seeds: 1", "seeds: 2").replace("pretrain_steps: 400", "pretrain_steps: 4000")
    )
    spoken = thaw_command(
        "run", "tiny.yaml", "--out", "suite", "--workers", "2", "--set", "conditions=[update_all]",
        "--set", "agent.clock=asynchronous", "--set", "agent.actors=2", cwd=tmp_path,
    )  # fmt: skip
    assert spoken.status == 0, spoken.err
    for seed in (0, 1):
        for run in ("catch/pretrain", "catch@large_ball/update_all"):
            folder = RunFolder(tmp_path / "suite" / "runs" / run / f"seed{seed}")
            assert folder.is_done
            assert rows_of(folder.progress.path)[-1]["mean_policy_lag"]
