"""How many updates an hour may bring: an estimate from floating-point operations and memory traffic.

No figure here was measured on a GPU. The shares of peak performance are assumptions; the formula is printed beside the
result, so that a person can put in their own.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from medvista.app.dry_run.gpus import Gpu
from medvista.app.dry_run.memory import Layout

COMPUTE_SHARE = 0.35  # of peak FLOPs in forward and backward
BANDWIDTH_SHARE = 0.5  # of peak bandwidth in decoding
LAUNCH_MS = 0.8  # per layer and decoded token: kernels started one by one from Python
FORMULA = (
    "decoding: turns x max_new_tokens x max(weights / (0.5 bandwidth), layers x 0.8 ms); "
    "learning: (6, with checkpointing 8, with a reference 2 more) x parameters x tokens / (0.35 peak)"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Update:
    """What one RL update does, per process."""

    turns: int
    new_tokens: int  # decoded one after another in a turn, all episodes together
    stream_tokens: int  # of all episodes: prompts, images, observations, turns
    reference: bool  # whether a second policy scores them too


def seconds_per_update(text: Any, layout: Layout, update: Update, gpu: Gpu) -> dict[str, float]:
    """Seconds of decoding, of prefilling and of learning.

    Args:
        text: the configuration of the language model.
        layout: of a training step.
        update: what it plays and learns from.
        gpu: that does it.
    """
    traffic = layout.compute_bytes * layout.parameters / (BANDWIDTH_SHARE * gpu.gb_per_s * 1e9)
    token = max(traffic, text.num_hidden_layers * LAUNCH_MS / 1000)
    passes = (8 if layout.checkpointing else 6) + (2 if update.reference else 0)
    flops = layout.parameters * update.stream_tokens / (COMPUTE_SHARE * gpu.tflops * 1e12)
    return {
        "decoding": update.turns * update.new_tokens * token,
        "prefilling": 2 * flops,
        "learning": passes * flops,
    }
