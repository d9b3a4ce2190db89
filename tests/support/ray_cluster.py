"""A Ray cluster of several nodes on this machine, whose nodes can be killed one by one."""

from __future__ import annotations

import os
import secrets
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

STORE_BYTES = 78 * 2**20
"""Near the smallest that Ray allows; runs keep nothing in it."""

SETTINGS = {
    "RAY_USAGE_STATS_ENABLED": "0",
    # A dead node is noticed in seconds.
    "RAY_health_check_initial_delay_ms": "0",
    "RAY_health_check_period_ms": "1000",
    "RAY_health_check_timeout_ms": "1000",
    "RAY_health_check_failure_threshold": "5",
}


class SmallCluster:
    """A head without CPUs, and nodes with one CPU each."""

    def __init__(self, cluster: Any, nodes: list[Any]) -> None:
        self.cluster, self.nodes = cluster, nodes
        self.address: str = cluster.address

    def raylet_of(self, number: int) -> int:
        """Return the process of a node from which all its workers descend."""
        (raylet,) = self.nodes[number].all_processes["raylet"]
        return int(raylet.process.pid)

    def kill(self, number: int) -> None:
        """Kill a node's own processes, as a power cut would; its workers notice it."""
        self.cluster.remove_node(self.nodes[number], allow_graceful=False)

    def add(self) -> None:
        """Let another node join."""
        self.nodes.append(self.cluster.add_node(num_cpus=1, object_store_memory=STORE_BYTES))


@contextmanager
def small_cluster(num_nodes: int) -> Iterator[SmallCluster]:
    """Start a cluster, and end it with everything that it has started."""
    import ray
    from ray.cluster_utils import Cluster

    # The paths of Ray's sockets have at most 107 letters, and pytest's folders are deep.
    folder = tempfile.mkdtemp(prefix="ray-", dir="/tmp")
    token = Path(folder) / "token"
    token.write_text(secrets.token_hex(32))
    token.chmod(0o600)
    settings = SETTINGS | {"RAY_AUTH_TOKEN_PATH": str(token)}
    before = {name: os.environ.get(name) for name in settings}
    os.environ.update(settings)
    # A process keeps the token that Ray has read first, in another test perhaps.
    token_cache = ray._raylet.AuthenticationTokenLoader.instance()  # type: ignore[attr-defined]
    token_cache.reset_cache()
    cluster = None
    try:
        cluster = Cluster(
            initialize_head=True,
            head_node_args={
                "num_cpus": 0,
                "object_store_memory": STORE_BYTES,
                "include_dashboard": False,
                "temp_dir": f"{folder}/r",
            },
        )
        small = SmallCluster(cluster, [])
        for _ in range(num_nodes):
            small.add()
        yield small
    finally:
        if cluster is not None:
            cluster.shutdown()  # type: ignore[no-untyped-call]
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value
        token_cache.reset_cache()
        shutil.rmtree(folder, ignore_errors=True)
