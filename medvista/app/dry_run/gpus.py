"""What a dry run reckons a GPU can do: the vendors' figures."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch


@dataclass(frozen=True, slots=True, kw_only=True)
class Gpu:
    """One kind of GPU."""

    gib: float  # memory that a process can use
    tflops: float  # dense bfloat16, as the data sheet says
    gb_per_s: float  # memory bandwidth


GPUS: Mapping[str, Gpu] = {  # NVIDIA's data sheets
    "a10": Gpu(gib=22.5, tflops=125, gb_per_s=600),
    "rtx4090": Gpu(gib=23.6, tflops=165, gb_per_s=1008),
    "l40s": Gpu(gib=44.5, tflops=362, gb_per_s=864),
    "a100": Gpu(gib=79.2, tflops=312, gb_per_s=2039),
    "h100": Gpu(gib=79.2, tflops=989, gb_per_s=3350),
    "h200": Gpu(gib=139.8, tflops=989, gb_per_s=4800),
}
DEFAULT = "h100"


def here() -> str | None:
    """The name of this machine's GPU; None without one that is known."""
    if not torch.cuda.is_available():
        return None
    name = torch.cuda.get_device_name().lower().replace(" ", "")
    return next((kind for kind in GPUS if kind in name), None)
