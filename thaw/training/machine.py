"""The device of a run, and the description of its machine for machine.json."""

from __future__ import annotations

import platform
import subprocess
import sys
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import torch

from thaw.config.errors import InputError
from thaw.config.flavor import Flavor
from thaw.config.runtime import Runtime
from thaw.envs.families import describe_flavor


def resolve_device(name: str) -> torch.device:
    """Return a device; ``auto`` is CUDA if this machine has it.

    Raises:
        InputError: This machine has no such device.
    """
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    if name.startswith("cuda") and not torch.cuda.is_available():
        raise InputError(f"device '{name}' is not there (no usable CUDA GPU); use cpu or auto")
    try:
        device = torch.device(name)
    except RuntimeError:
        raise InputError(f"unknown device '{name}'; use auto, cpu or cuda") from None
    if device.type not in ("cpu", "cuda"):
        raise InputError(f"device '{name}' is not supported; use auto, cpu or cuda")
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise InputError(
            f"device '{name}' is not there; this machine has {torch.cuda.device_count()}"
        )
    return device


def limit_gpu_memory(device: torch.device, num_runs: int) -> None:
    """Leave other runs their share of a GPU's memory, which Ray does not watch over."""
    if device.type == "cuda" and num_runs > 1:
        torch.cuda.set_per_process_memory_fraction(1 / num_runs, device)


def describe_machine(runtime: Runtime, flavor: Flavor) -> dict[str, object]:
    """Return versions and hardware; environment variables, which may be secret, never."""
    device = resolve_device(runtime.device)
    return {
        "python": sys.version.split()[0],
        **describe_software(),
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu",
        "num_threads": runtime.num_threads,
        "environment": describe_flavor(flavor),
    }


@cache
def describe_software() -> dict[str, object]:
    """Return what stays the same while a process lives; it takes a few hundredths of a second.

    A process that starts many others calls this first, so that they need not.
    """
    packages = ("thaw", "torch", "gymnasium", "numpy", "safetensors")
    return {
        "packages": {name: _version(name) for name in packages},
        "git_commit": _git_commit(),
        "platform": platform.platform(),
        "processor": _processor(),
    }


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _git_commit() -> str | None:
    """Return the commit of the checkout that this package is in; None if it is installed."""
    root = Path(__file__).resolve().parents[2]
    if not (root / ".git").exists():
        return None
    command = ["git", "-C", str(root), "rev-parse", "HEAD"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    except OSError:  # a checkout in a container without git
        return None
    return done.stdout.strip() or None


def _processor() -> str:
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        for line in cpuinfo.read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor()
