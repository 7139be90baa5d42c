"""A limit on what this process may allocate."""

from __future__ import annotations

import logging
from pathlib import Path

log = logging.getLogger(__name__)


def limit_memory(megabytes: int | None) -> None:
    """Let this process allocate so much beyond what it has now; more raises `MemoryError`.

    RLIMIT_DATA counts private memory, as resident memory does not and RLIMIT_AS does not alone: libraries, files and
    shared memory are free, and so is address space that CUDA merely reserves.

    Args:
        megabytes: of 2**20 bytes; None for no limit.
    """
    if megabytes is None:
        return
    held = _private_bytes()
    if held is None:
        log.warning("no memory limit for tools: this system does not say what a process holds")
        return
    import resource  # Unix only

    limit = held + megabytes * 2**20
    resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))


def _private_bytes() -> int | None:
    """What counts towards RLIMIT_DATA already; None where there is no /proc (macOS)."""
    try:
        lines = Path("/proc/self/status").read_text().splitlines()
    except OSError:
        return None
    kilobytes = [int(line.split()[1]) for line in lines if line.startswith("VmData:")]
    return kilobytes[0] * 1024 if kilobytes else None
