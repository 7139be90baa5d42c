"""Optimisers by the name that a configuration gives them."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch.optim import Optimizer

from medvista.errors import UserError
from medvista.settings import OptimiserConfig, OptimiserName

Groups = Sequence[dict[str, Any]]  # parameters with their learning rate
_OF_BITSANDBYTES = {"adamw_8bit": "AdamW8bit", "paged_adamw_8bit": "PagedAdamW8bit"}


def make_optimiser(groups: Groups, config: OptimiserConfig) -> Optimizer:
    """The optimiser of a configuration.

    Raises:
        UserError: its package is missing.
    """
    check_optimiser(config)
    return _MAKERS[config.name](groups, config)


def check_optimiser(config: OptimiserConfig) -> None:
    """Refuses an optimiser whose package is not here.

    Raises:
        UserError: bitsandbytes is missing.
    """
    if config.name in _OF_BITSANDBYTES and importlib.util.find_spec("bitsandbytes") is None:
        raise UserError(
            f"optimiser.name={config.name} needs the package bitsandbytes: pip install medvista[quantise], or take "
            "adamw, adamw_fused or adafactor."
        )


def _adamw(groups: Groups, config: OptimiserConfig) -> Optimizer:
    fused = True if config.name == "adamw_fused" else None
    return torch.optim.AdamW(groups, betas=config.betas, weight_decay=config.weight_decay, fused=fused)


def _of_bitsandbytes(groups: Groups, config: OptimiserConfig) -> Optimizer:
    import bitsandbytes

    kind = getattr(bitsandbytes.optim, _OF_BITSANDBYTES[config.name])
    optimiser: Optimizer = kind(groups, betas=config.betas, weight_decay=config.weight_decay)
    return optimiser


def _adafactor(groups: Groups, config: OptimiserConfig) -> Optimizer:
    return torch.optim.Adafactor(groups, weight_decay=config.weight_decay)


_MAKERS: Mapping[OptimiserName, Callable[[Groups, OptimiserConfig], Optimizer]] = {
    "adamw": _adamw,
    "adamw_fused": _adamw,
    "adamw_8bit": _of_bitsandbytes,
    "paged_adamw_8bit": _of_bitsandbytes,
    "adafactor": _adafactor,
}
