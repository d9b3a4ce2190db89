"""The machine that a run uses, and what of it is worth remembering."""

from __future__ import annotations

import platform
import subprocess
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import torch

from thaw.config.errors import InputError
from thaw.config.flavor import Flavor
from thaw.config.runtime import Runtime
from thaw.envs.families import describe_flavor


def resolve_device(name: str) -> torch.device:
    """Return a device; ``auto`` is CUDA where there is one.

    Raises:
        InputError: No such device here.
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
        raise InputError(f"device '{name}' is not there; there are {torch.cuda.device_count()}")
    return device


def describe_machine(runtime: Runtime, flavor: Flavor) -> dict[str, object]:
    """Describe versions and hardware, never the environment's variables."""
    packages = ("thaw", "torch", "gymnasium", "numpy", "safetensors")
    device = resolve_device(runtime.device)
    return {
        "python": sys.version.split()[0],
        "packages": {name: _version(name) for name in packages},
        "git_commit": _git_commit(),
        "platform": platform.platform(),
        "processor": _processor(),
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu",
        "num_threads": runtime.num_threads,
        "environment": describe_flavor(flavor),
    }


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _git_commit() -> str | None:
    root = Path(__file__).resolve().parents[2]
    if not (root / ".git").exists():
        return None
    command = ["git", "-C", str(root), "rev-parse", "HEAD"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return done.stdout.strip() or None


def _processor() -> str:
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        for line in cpuinfo.read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor()
