"""Join a Ray cluster or start Ray on this machine. Only this module imports Ray."""

from __future__ import annotations

import logging
import os
import secrets
import signal
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from thaw.acting.remote import reaper
from thaw.acting.remote.messages import RayFailed
from thaw.config.errors import InputError, install_hint, one_line

MIB = 2**20

BASE_STORE_BYTES = 100 * MIB
"""Size of the object store without unrolls: weights, and Ray's minimum."""

CONNECT_SECONDS = 5.0

ASKED_BY = "agent.clock asynchronous"

INSTEAD = "choose the clock lockstep or overlapped"

RAYLET_DIED = (
    "Ray's raylet process died; was it killed, or is memory short? The same command continues the "
    "run from its last checkpoint"
)

MAX_PARENT_LETTERS = 20
"""A socket's path has at most 107 letters, and the names of Ray's folders take most of them."""


class RaySession:
    """Ray on a cluster, or on this machine for this process alone.

    Args:
        address: Address of a cluster; None means the environment's RAY_ADDRESS, or this machine.
        num_cpus: How many tasks and actors of one CPU work at once if Ray is started here; they
            share this machine's CPUs.
        num_gpus: Of this machine, if Ray is started here.
        store_bytes: Size of the objects that wait in Ray at once, such as unrolls that actors sent
            and the learner has not taken yet.

    Raises:
        InputError: Ray is not installed, or there is no cluster at the address.
        RayFailed: Ray did not start on this machine.
    """

    def __init__(
        self, address: str | None, *, num_cpus: int, num_gpus: int = 0, store_bytes: int = 0
    ) -> None:
        self.ray = import_ray()
        self.reaper: subprocess.Popen[bytes] | None = None
        self.is_ours = not self.ray.is_initialized()
        """False if this process had started Ray already; then it is used and left running."""
        self.raylet: socket.socket | None = None
        self.folder: str | None = None
        """Files of a Ray that was started here; deleted at the end."""
        address = resolve_address(address)
        try:
            with _own_signals():
                if self.is_ours and address == "local":
                    self.start(num_cpus, num_gpus, store_bytes)
                elif self.is_ours:
                    self.join(address)
                self.raylet = connect_to_raylet(self.ray)
            if self.raylet is not None:
                self.tell_reaper(self.raylet.getpeername())
        except BaseException:
            self.close()
            raise

    def start(self, num_cpus: int, num_gpus: int, store_bytes: int) -> None:
        """Start Ray on this machine; all of it ends with this process, even if that is killed.

        Ray listens on the loopback interface only. Only this user can read its folder.

        Raises:
            RayFailed: Ray did not start in time.
        """
        # Each run has a folder, so that its logs are deleted with it and runs do not share files.
        parent = tempfile.gettempdir()
        if len(parent) > MAX_PARENT_LETTERS:
            parent = "/tmp"  # noqa: S108 - mkdtemp makes a folder that only this user can open
        self.folder = folder = tempfile.mkdtemp(prefix="thaw-ray-", dir=parent)
        self.reaper = subprocess.Popen(
            [sys.executable, "-S", reaper.__file__, folder, RAYLET_DIED],
            stdin=subprocess.PIPE,
            start_new_session=True,  # Ctrl-C must not reach it
        )
        token = Path(folder) / "auth_token"
        token.touch(mode=0o600)
        token.write_text(secrets.token_hex(32), encoding="ascii")
        settings = {
            reaper.MARK: folder,
            "RAY_AUTH_TOKEN_PATH": str(token),  # else Ray writes ~/.ray/auth_token
            "RAY_USAGE_STATS_ENABLED": "0",
            "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",  # silences a warning
            "OMP_NUM_THREADS": "1",  # there is one process for each core
        }
        _forget_token(self.ray)
        with _environment(settings), _loopback_only(self.ray):
            try:
                self.ray.init(
                    "local",
                    num_cpus=num_cpus,
                    num_gpus=num_gpus,
                    include_dashboard=False,
                    object_store_memory=BASE_STORE_BYTES + store_bytes,
                    logging_level=logging.ERROR,
                    log_to_driver=False,
                    _temp_dir=str(Path(folder) / "r"),  # Ray lets all users write in it
                )
            except Exception as error:  # Ray raises bare ones
                raise RayFailed(f"Ray did not start: {one_line(error)}") from error

    def join(self, address: str) -> None:
        """Join a cluster.

        Raises:
            InputError: There is none.
        """
        try:
            with _environment({"RAY_USAGE_STATS_ENABLED": "0"}):
                self.ray.init(address, logging_level=logging.ERROR, log_to_driver=False)
        except (ConnectionError, RuntimeError, ValueError) as error:
            raise InputError(
                f"no Ray cluster lets us in at '{address}' ({' '.join(str(error).split())}); start "
                "one with `ray start --head`, give its token if it asks for one "
                "(RAY_AUTH_MODE=token and RAY_AUTH_TOKEN_PATH), or unset RAY_ADDRESS to use this "
                "machine alone"
            ) from None

    def close(self) -> None:
        """Leave the cluster, or end the Ray that was started."""
        self.tell_reaper("bye")  # from here on, Ray's death is no news
        if self.raylet is not None:
            self.raylet.close()
        if self.is_ours:
            with _own_signals():
                self.ray.shutdown()
        if self.reaper is not None:
            _forget_token(self.ray)
            self.reaper.communicate()  # closes its input, which it waits for

    def tell_reaper(self, line: str) -> None:
        """Send the reaper a line; it speaks in this process's place if Ray ends this process."""
        if self.reaper is not None and self.reaper.stdin is not None:
            with suppress(BrokenPipeError):  # somebody killed it
                self.reaper.stdin.write(f"{line}\n".encode())
                self.reaper.stdin.flush()

    def be_quiet(self) -> None:
        """Print nothing of what happens to other processes: it is a page for a machine's death.

        Ray has no setting for that; ``log_to_driver`` is about what processes print.
        """
        self.ray._private.worker.print_to_stdstream = lambda *args, **kwargs: None

    def check_alive(self) -> None:
        """Check that Ray's local process, the raylet, is alive.

        To be called before every read or write of Ray's objects: if the raylet is dead, Ray ends
        this process there, at once and without an exception (``exit_on_connection_failure`` of its
        object store's client). If that happens between this check and the call, the reaper
        explains it.

        Raises:
            RayFailed: It died.
        """
        if self.raylet is None:
            return
        try:
            is_dead = self.raylet.recv(1) == b""
        except BlockingIOError:
            return
        except OSError:
            is_dead = True
        if is_dead:
            raise RayFailed(RAYLET_DIED)


def this_machine() -> str:
    """Return Ray's id of the machine on which this process executes a task."""
    return str(import_ray().get_runtime_context().get_node_id())


def connect_to_raylet(ray: Any) -> socket.socket | None:
    """Connect to Ray's process on this machine; the system closes the connection when it dies.

    Returns:
        A socket that does not block; None if the raylet is on another machine (``ray://``).
    """
    node_id = ray.get_runtime_context().get_node_id()
    (name,) = (n["RayletSocketName"] for n in ray.nodes() if n["NodeID"] == node_id)
    raylet = socket.socket(socket.AF_UNIX)
    try:
        raylet.connect(name)
    except OSError:
        raylet.close()
        return None
    raylet.setblocking(False)
    return raylet


def resolve_address(address: str | None) -> str:
    """Return the address of a cluster; ``local`` is a Ray of this process's own."""
    return address or os.environ.get("RAY_ADDRESS") or "local"


def check_ray(address: str | None, asked_by: str = ASKED_BY, instead: str = INSTEAD) -> None:
    """Check that Ray can be used, before anything is written; see :func:`import_ray`.

    Raises:
        InputError: Ray is not installed, or no server listens at the cluster's address.
    """
    import_ray(asked_by, instead)
    address = resolve_address(address)
    host, colon, port = address.removeprefix("ray://").rpartition(":")
    if colon and port.isdigit():
        try:  # Ray itself would try for minutes
            socket.create_connection((host, int(port)), timeout=CONNECT_SECONDS).close()
        except (OSError, OverflowError) as error:
            raise InputError(
                f"no Ray cluster answers at '{address}' ({error}); start one with `ray start "
                "--head`, or unset RAY_ADDRESS to use this machine alone"
            ) from None


def import_ray(asked_by: str = ASKED_BY, instead: str = INSTEAD) -> Any:
    """Return the module; its type is Any, because Ray's annotations are too loose to check.

    Args:
        asked_by: The setting that needs it, for the error.
        instead: What to do without it.

    Raises:
        InputError: It is not installed; the message has the pip line.
    """
    try:
        with _own_signals():
            import ray
    except ImportError:
        raise InputError(f"{asked_by} needs Ray: {install_hint('ray')}, or {instead}") from None
    return ray


@contextmanager
def _own_signals() -> Iterator[None]:
    """Keep the handlers of SIGINT and SIGTERM, which make a run save; Ray replaces them."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    handlers = {signum: signal.getsignal(signum) for signum in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for signum, handler in handlers.items():
            signal.signal(signum, handler)


@contextmanager
def _environment(settings: dict[str, str]) -> Iterator[None]:
    """Set environment variables for Ray and the processes that it starts; restore them after."""
    before = {name: os.environ.get(name) for name in settings}
    os.environ.update(settings)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


@contextmanager
def _loopback_only(ray: Any) -> Iterator[None]:
    """Let Ray's servers listen on 127.0.0.1 only.

    Ray replaces a loopback address by the machine's address unless clusters are disabled, as they
    are on macOS. Its environment variable for that is read when Ray is imported, which may have
    been before thaw.
    """
    constants = ray._private.ray_constants
    before = constants.ENABLE_RAY_CLUSTER
    constants.ENABLE_RAY_CLUSTER = False
    try:
        yield
    finally:
        constants.ENABLE_RAY_CLUSTER = before


def _forget_token(ray: Any) -> None:
    """Let Ray read its token file again; it keeps the first token of a process otherwise."""
    ray._raylet.AuthenticationTokenLoader.instance().reset_cache()
