"""What a configuration file may set about the parts of the library.

The parts take these as their ``config``. They stand here, on the lowest floor, so that a command line knows every key,
type and default without loading torch.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import Literal

Aggregation = Literal["sequence", "token"]  # how per-token losses become one number


@dataclass(frozen=True, kw_only=True)
class ExpertConfig:
    """What the scripted expert gets wrong."""

    grid: int = 14  # boxes are snapped to a grid of this many cells a side
    cells: int = 2  # side of a box in cells, at least
    max_zooms: int = 2  # on the first of many regions: an episode has to end
    jitter_share: float = 0.0  # share of boxes moved off their target
    jitter_cells: int = 4  # how far, at most, in each direction
    direct_share: float = 0.0  # share of tool questions answered without looking


@dataclass(frozen=True, kw_only=True)
class NanoConfig:
    """Dimensions of the nano model; the defaults give about 0.9M parameters."""

    vocab_size: int = 768  # upper bound for the trained vocabulary
    view_size: int = 64  # pixels; the longer side of every image the policy sees
    hidden_size: int = 128
    layers: int = 3
    heads: int = 4
    kv_heads: int = 2
    intermediate_size: int = 256
    text_init_std: float = 0.08
    vision_hidden_size: int = 96
    vision_depth: int = 2
    vision_heads: int = 4
    vision_intermediate_size: int = 192
    patch_size: int = 8  # pixels; 2 x 2 patches make one visual token


@dataclass(frozen=True, kw_only=True)
class OptimiserConfig:
    """AdamW with warm-up and a cosine or constant schedule."""

    learning_rate: float = 1e-4
    vision_learning_rate: float = 0.0  # 0 freezes the vision tower
    weight_decay: float = 0.0
    warmup_steps: int = 5
    decay_to: float = 1.0  # the learning rate ends at this share of its peak, along a cosine; 1 keeps it constant
    betas: tuple[float, float] = (0.9, 0.95)


@dataclass(frozen=True, kw_only=True)
class ToolLimits:
    """What the calls of a tool may take; None leaves it to the executor."""

    timeout_s: float | None = None  # seconds a call may run, from when it has a worker
    concurrency: int | None = None  # calls of one tool at a time; more wait for their turn
    memory_mb: int | None = None  # what a worker of the tool may allocate, its weights included

    def over(self, others: ToolLimits) -> ToolLimits:
        """These limits, and the others' where these leave something open."""
        given = {name: value for name, value in asdict(self).items() if value is not None}
        return replace(others, **given)


@dataclass(frozen=True, kw_only=True)
class GRPOConfig:
    """The surrogate of GRPO and how it is optimised."""

    surrogate: str = "clipped"  # a name of `medvista.functional.losses.SURROGATES`
    aggregation: Aggregation = "sequence"
    clip_low: float = 0.2
    clip_high: float = 0.2
    kl_coefficient: float = 0.01  # of the KL loss; needs the ReferenceKL callback
    kl_estimator: Literal["k1", "k2", "k3"] = "k3"
    entropy_coefficient: float = 0.0
    minibatches: int = 1  # optimiser steps an update and inner epoch
    inner_epochs: int = 1
    max_grad_norm: float = 1.0
