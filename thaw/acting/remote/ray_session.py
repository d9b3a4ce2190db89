"""Joins a Ray cluster or starts Ray on this machine. Ray is imported here and nowhere else."""

from __future__ import annotations

import logging
import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from thaw.acting.remote import reaper
from thaw.config.errors import InputError, install_hint

MIB = 2**20

BASE_STORE_BYTES = 100 * MIB
"""Of the object store, for weights and Ray's own minimum."""

CONNECT_SECONDS = 5.0

MAX_PLACE_LETTERS = 20
"""A socket's path has at most 107, and Ray's own folders take most of them."""


class RaySession:
    """Ray for one run, quietly: on a cluster, or on this machine and for this run alone.

    Args:
        address: Of a cluster; None: the environment's RAY_ADDRESS, else this machine.
        num_actors: Each takes one of the cluster's CPUs; on this machine they share what is there.
        store_bytes: Of what actors send and the learner has not taken yet.

    Raises:
        InputError: Ray is not installed, there is no cluster at the address, or it is too small.
    """

    def __init__(self, address: str | None, num_actors: int, store_bytes: int) -> None:
        self.ray = import_ray()
        self.reaper: subprocess.Popen[bytes] | None = None
        self.is_ours = not self.ray.is_initialized()
        """A Ray that somebody else started in this process is used and left as it is."""
        if not self.is_ours:
            return
        address = address or os.environ.get("RAY_ADDRESS") or "local"
        try:
            with _own_signals():
                if address == "local":
                    self.start(num_actors, store_bytes)
                else:
                    self.join(address, num_actors)
        except BaseException:
            self.close()
            raise

    def start(self, num_actors: int, store_bytes: int) -> None:
        """Start Ray on this machine; all of it ends with this process, even if that is killed."""
        # In a folder of its own, so that its logs go with it and runs at the same time do not meet.
        place = tempfile.gettempdir()
        if len(place) > MAX_PLACE_LETTERS:
            place = "/tmp"  # noqa: S108 - mkdtemp makes a folder that is ours alone
        folder = tempfile.mkdtemp(prefix="thaw-ray-", dir=place)
        self.reaper = subprocess.Popen(
            # Without our folder on its path, where types.py is not Python's.
            [sys.executable, "-P", "-S", reaper.__file__, folder],
            stdin=subprocess.PIPE,
            start_new_session=True,  # Ctrl-C is not for it
        )
        settings = {
            reaper.MARK: folder,
            "RAY_USAGE_STATS_ENABLED": "0",
            "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",  # else it warns that it will change its ways
            "OMP_NUM_THREADS": "1",  # processes are for cores
        }
        with _environment(settings):
            self.ray.init(
                "local",
                num_cpus=num_actors,
                num_gpus=0,
                include_dashboard=False,
                object_store_memory=BASE_STORE_BYTES + store_bytes,
                logging_level=logging.ERROR,
                log_to_driver=False,
                _temp_dir=folder,
            )

    def join(self, address: str, num_actors: int) -> None:
        """Join a cluster.

        Raises:
            InputError: There is none, or it is too small.
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
        num_cpus = self.ray.cluster_resources().get("CPU", 0)
        if num_cpus < num_actors:
            raise InputError(
                f"agent.actors is {num_actors}, but the Ray cluster at '{address}' has "
                f"{num_cpus:g} CPUs and each actor takes one"
            )

    def close(self) -> None:
        """Leave the cluster, or end the Ray that was started."""
        if self.is_ours:
            with _own_signals():
                self.ray.shutdown()
        if self.reaper is not None:
            self.reaper.communicate()  # closes its input, which it waits for


def check_ray(address: str | None) -> None:
    """Look for what could not work, before a run writes anything.

    Raises:
        InputError: Ray is not installed, or nobody listens at the cluster's address.
    """
    import_ray()
    address = address or os.environ.get("RAY_ADDRESS") or "local"
    host, colon, port = address.removeprefix("ray://").rpartition(":")
    if colon and port.isdigit():
        try:  # Ray itself goes on trying for minutes
            socket.create_connection((host, int(port)), timeout=CONNECT_SECONDS).close()
        except (OSError, OverflowError) as error:
            raise InputError(
                f"no Ray cluster answers at '{address}' ({error}); start one with `ray start "
                "--head`, or unset RAY_ADDRESS to use this machine alone"
            ) from None


def import_ray() -> Any:
    """Return Ray; its types are too loose to check against.

    Raises:
        InputError: It is not installed; the message has the pip line.
    """
    try:
        with _own_signals():
            import ray
    except ImportError:
        raise InputError(
            f"agent.clock asynchronous needs Ray: {install_hint('ray')}, or choose the clock "
            "lockstep or overlapped"
        ) from None
    return ray


@contextmanager
def _own_signals() -> Iterator[None]:
    """Keep the handlers of SIGINT and SIGTERM, by which a run saves; Ray sets its own."""
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
    """Set what Ray and the processes it starts read when they start, and restore it."""
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
