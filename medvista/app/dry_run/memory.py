"""How much memory a GPU needs for training: an estimate, kind by kind, with the formula of each.

What backward keeps was measured layer by layer on small models of three families (tests/app/test_dry_run.py holds the
formula to them); allocator, kernels and CUDA's own context are a flat allowance. Nothing here was measured on a GPU.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

GIB = 2**30
FULL, HALF = 4, 2  # bytes of float32, and of bfloat16 or float16
OVERHEAD_GIB = 1.5  # CUDA's context, workspaces of kernels, fragments of the allocator: an allowance, not measured

# Bytes per value of AdamW's two moments, and of the others' state.
_OPTIMISER_BYTES: Mapping[str, float] = {
    "adamw": 8,
    "adamw_fused": 8,
    "adamw_8bit": 2,
    "paged_adamw_8bit": 0,  # in the host's memory when the GPU runs short
    "adafactor": 0.01,  # a row and a column per matrix
}
# What backward keeps per layer and token, as measured: bytes per hidden unit, values per unit of the attention's heads;
# computed in 16 bits, and in 32. Families differ in their norms.
_KEPT: Mapping[str, tuple[tuple[int, int], tuple[int, int]]] = {
    "qwen2": ((26, 2), (24, 2)),
    "gemma3_text": ((42, 6), (40, 4)),
}
_KEPT_BY_MOST = ((26, 5), (24, 4))  # Qwen3
_SHARDED: Mapping[str, tuple[str, ...]] = {  # what each strategy splits over the processes
    "fsdp2": ("weights", "gradients", "optimiser"),
    "deepspeed_stage_2": ("gradients", "optimiser"),
    "deepspeed_stage_3": ("weights", "gradients", "optimiser"),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """What a training step of one process holds."""

    parameters: int
    outside: int  # of them outside the language model's layers, which a sharded model gathers all at once
    trained: int  # of them, or of adapters
    copied: int  # values of a second copy of the weights on the GPU, for the reference
    weight_bytes: int  # per value
    compute_bytes: int  # per value, in forward and backward
    autocast: bool  # whether weights are cast for each forward
    optimiser: str
    strategy: str
    processes: int
    step_tokens: int  # that go through forward and backward at once
    checkpointing: bool
    chunk_logits: int  # values
    cached_tokens: int  # of all episodes that a process plays at once


def layer_bytes(text: Any, compute_bytes: int) -> float:
    """What backward keeps of one layer, per token, without gradient checkpointing.

    Norms keep float32 copies of the hidden states, whatever the precision; queries, keys, values and the feed-forward's
    inner states are in the precision of computing.
    """
    half, full = _KEPT.get(text.model_type, _KEPT_BY_MOST)
    per_hidden, per_head = half if compute_bytes == HALF else full
    heads = _head_size(text) * (text.num_attention_heads + text.num_key_value_heads)
    return per_hidden * text.hidden_size + compute_bytes * (per_head * heads + 4 * text.intermediate_size)


def activation_bytes(text: Any, layout: Layout) -> float:
    """What backward keeps of the language model; a frozen vision tower keeps nothing."""
    inside = layer_bytes(text, layout.compute_bytes)
    if not layout.checkpointing:
        return layout.step_tokens * text.num_hidden_layers * inside
    between = (FULL if layout.weight_bytes == FULL else HALF) * text.hidden_size  # the residual stream's own precision
    return layout.step_tokens * (text.num_hidden_layers * between + inside)


def cache_bytes(text: Any, layout: Layout) -> float:
    """Keys and values of all tokens in flight; the least, of layers with a sliding window more than they keep."""
    per_token = 2 * text.num_hidden_layers * text.num_key_value_heads * _head_size(text) * layout.compute_bytes
    return float(layout.cached_tokens * per_token)


def memory_by_kind(text: Any, layout: Layout) -> dict[str, float]:
    """GiB per GPU of each kind; see `peak_gib` for how they add up.

    Args:
        text: the configuration of the language model.
        layout: of a step.
    """
    shards = dict.fromkeys(_SHARDED.get(layout.strategy, ()), layout.processes)
    # A sharded model gathers its weights as they are kept; autocast keeps a copy of what it has cast.
    gathered = layout.weight_bytes if "weights" in shards else 0
    cast = HALF if layout.autocast and layout.weight_bytes == FULL else 0
    amounts = {
        "weights": layout.weight_bytes * layout.parameters / shards.get("weights", 1),
        "weights in use, learning": (gathered + cast) * (layout.outside if gathered else layout.parameters),
        "weights in use, playing": (gathered + cast) * layout.parameters,
        "gradients": layout.weight_bytes * layout.trained / shards.get("gradients", 1),
        "optimiser": _OPTIMISER_BYTES[layout.optimiser] * layout.trained / shards.get("optimiser", 1),
        "reference": layout.weight_bytes * layout.copied / shards.get("weights", 1),
        "activations": activation_bytes(text, layout),
        "logits": 4 * FULL * layout.chunk_logits,  # the scores, their softmax and the gradients of both
        "cache": cache_bytes(text, layout),
        "overhead": OVERHEAD_GIB * GIB,
    }
    return {kind: amount / GIB for kind, amount in amounts.items()}


def peak_gib(by_kind: Mapping[str, float]) -> float:
    """The larger of what playing episodes and learning from them need, which never happen at once."""
    both = sum(by_kind[kind] for kind in ("weights", "optimiser", "reference", "overhead"))
    learning = sum(by_kind[kind] for kind in ("weights in use, learning", "gradients", "activations", "logits"))
    return both + max(learning, by_kind["weights in use, playing"] + by_kind["cache"])


def _head_size(text: Any) -> int:
    return int(getattr(text, "head_dim", None) or text.hidden_size // text.num_attention_heads)
