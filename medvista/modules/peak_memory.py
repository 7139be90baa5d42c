"""The most memory that training has taken so far."""

from __future__ import annotations

import resource
import sys

import torch


def peak_memory_mb(device: torch.device) -> float:
    """Megabytes that tensors took at once on a GPU; elsewhere, those of the whole process.

    Args:
        device: of the policy.
    """
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / 2**20
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most / (2**20 if sys.platform == "darwin" else 2**10)  # bytes there, kilobytes on Linux
