"""Where a run's numbers come from: the commit, the machine, the packages."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import subprocess
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import medvista

_PACKAGES = (
    "medvista",
    "torch",
    "transformers",
    "lightning",
    "numpy",
    "pillow",
    "omegaconf",
    "gymnasium",
    "tokenizers",
    "safetensors",
    "peft",
    "vllm",
)  # what may move a number; those that are not installed are left out


def environment(device: str = "cpu") -> dict[str, Any]:
    """What ran: values for `Results.environment`. Nothing here fails; what cannot be found is None.

    Args:
        device: the torch device of the policy, as ``str(device)`` says it: "cpu", "cuda:0".
    """
    commit, clean = git_state(Path(medvista.__file__).resolve().parent)
    return {
        "commit": commit,
        "clean": clean,
        "python": platform.python_version(),
        "platform": platform.platform(),
        "processor": processor_name(),
        "cores": _usable_cores(),
        "device": device_name(device),
        "packages": package_versions(),
    }


def git_state(folder: Path) -> tuple[str | None, bool | None]:
    """The commit of a folder's files, and whether tracked files are as committed; (None, None) outside a clone."""
    # A package installed below some other clone, say in its .venv, is not of that clone.
    if _git(folder, "ls-files", "--error-unmatch", "__init__.py") is None:
        return None, None
    commit, changes = _git(folder, "rev-parse", "HEAD"), _git(folder, "status", "--porcelain", "--untracked-files=no")
    return commit, None if changes is None else changes == ""


def package_versions(names: Iterable[str] = _PACKAGES) -> dict[str, str]:
    """The versions of the packages that are installed."""
    versions = {}
    for name in names:
        try:
            versions[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return versions


def processor_name() -> str | None:
    """The processor as its maker calls it, where the system says so."""
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            key, _, value = line.partition(":")
            if key.strip() == "model name":
                return value.strip()
    except OSError:  # not Linux
        pass
    return platform.processor() or platform.machine() or None


def device_name(device: str) -> str:
    """The device with its name: ``"cuda:0 (NVIDIA H100 80GB HBM3)"``; ``"cpu"`` as it is."""
    if not device.startswith("cuda"):
        return device
    import torch

    try:
        return f"{device} ({torch.cuda.get_device_name(device)})"
    except (AssertionError, RuntimeError, ValueError):  # no such device here, which training will say better
        return device


def _usable_cores() -> int | None:
    """Cores that this process may use; fewer than the machine has in a container or under ``taskset``."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()


def _git(folder: Path, *arguments: str) -> str | None:
    """What git says, or None: it is not installed, this is no clone, or it takes too long."""
    command = ["git", "-C", str(folder), *arguments]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=10, check=False)
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip() if done.returncode == 0 else None
