"""Which numbers weights and tables are kept in, and what is lost where weights are kept in 16 bits."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager, nullcontext

import torch
from torch import Tensor, nn

_MIXED = {"bf16-mixed": torch.bfloat16, "16-mixed": torch.float16}


def computing_in(precision: str, device: torch.device) -> AbstractContextManager[object]:
    """Where a model computes as Lightning's trainer lets it under a precision, whose name it has."""
    if precision not in _MIXED:  # the others cast the weights, which `Loading` does, or nothing
        return nullcontext()
    return torch.autocast(device.type, dtype=_MIXED[precision])


def apply_to_all_but_tables(module: nn.Module, apply: Callable[[], object]) -> None:
    """Moves and casts a module, but leaves the tables that its code computed in the float type they are in.

    ``module.to(torch.bfloat16)``, which is what ``precision=bf16-true`` does, also rounds the frequencies of rotary
    positions to 8 bits: at token 1,000 their angles are off by radians, and a pretrained model reads another order of
    words. `from_pretrained` in bfloat16 keeps them in float32.

    Args:
        module: all of whose computed tables (buffers that no checkpoint holds) are kept.
        apply: moves and casts it.
    """
    kept = [
        (part, name, table)
        for part in module.modules()
        for name in part._non_persistent_buffers_set
        if (table := part._buffers.get(name)) is not None and table.is_floating_point()
    ]
    apply()
    for part, name, table in kept:
        moved = part._buffers[name]
        if moved is not None and moved.dtype != table.dtype and not table.is_meta:
            part._buffers[name] = table.to(moved.device)


def lost_share(weights: Iterable[Tensor], rate: float) -> float:
    """Share of weights that an update of one learning rate leaves as they are, since it rounds away.

    A step of Adam changes a weight by about the learning rate; bfloat16 has 8 bits, so that a weight above some 256
    learning rates is nearest to itself again.

    Args:
        weights: as they are now, in the type they are trained in.
        rate: the learning rate.

    >>> import torch
    >>> weights = torch.tensor([1e-5, 1e-3, 0.1, 1.0])
    >>> lost_share([weights.bfloat16()], 1e-6), lost_share([weights], 1e-6)
    (0.75, 0.0)
    """
    lost = total = 0
    for weight in weights:
        higher, lower = ((weight.float() + step).to(weight.dtype) for step in (rate, -rate))
        lost += int(((higher == weight) & (lower == weight)).sum())
        total += weight.numel()
    return lost / total if total else 0.0
