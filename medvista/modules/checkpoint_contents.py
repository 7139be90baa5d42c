"""What a checkpoint holds of a module: what is trained, and by which numbers the rest is known again."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import accumulate
from typing import Any

import torch
from torch import Tensor, nn

from medvista.errors import UserError
from medvista.policies.frozen_weights import differing
from medvista.policies.sharding import own_part
from medvista.ranks import totals

_SUMMARY = "frozen_weights"  # key of a checkpoint


def keep_out_frozen(module: nn.Module) -> None:
    """From now on a module's state has no frozen weights, and is loaded into one that has them already.

    With adapters these are nearly all there are. A run that goes on loads them from where it took them at first.
    """
    module.register_state_dict_post_hook(_without_frozen)
    module.register_load_state_dict_post_hook(_none_of_them_missing)


def save_summary(checkpoint: dict[str, Any], module: nn.Module) -> None:
    """Puts a number for each frozen weight into a checkpoint. A collective step."""
    checkpoint[_SUMMARY] = _summary(module)


def check_summary(checkpoint: Mapping[str, Any], module: nn.Module) -> None:
    """Compares the frozen weights with those that the checkpoint was written beside. A collective step.

    Raises:
        UserError: they are others.
    """
    kept = checkpoint.get(_SUMMARY)
    if kept is not None and (others := differing(_summary(module), kept)):
        raise UserError(
            f"{len(others)} weights that are not trained have changed since this stage was interrupted "
            f"({others[0]}, ...): put the model back that it began with, or train it again (resume=stages)."
        )


def _without_frozen(module: nn.Module, state: dict[str, Any], prefix: str, metadata: Any) -> None:
    frozen = set(_frozen_names(module))
    for key in list(state):
        # Of quantised weights their tables, too, whose names begin with the weight's.
        names = accumulate(key.removeprefix(prefix).split("."), "{}.{}".format)
        if any(name in frozen for name in names):
            del state[key]


def _none_of_them_missing(module: nn.Module, keys: Any) -> None:
    frozen = set(_frozen_names(module))
    keys.missing_keys[:] = [name for name in keys.missing_keys if name not in frozen]


def _frozen_names(module: nn.Module) -> Iterator[str]:
    """Of weights that have several names, each."""
    return (name for name, weight in module.named_parameters(remove_duplicate=False) if not weight.requires_grad)


def _summary(module: nn.Module) -> dict[str, float]:
    """The sum of each frozen weight's magnitudes, over all processes that share it."""
    own = {name: _magnitude(weight) for name, weight in module.named_parameters() if not weight.requires_grad}
    shared = any(hasattr(weight, "to_local") for weight in module.parameters())
    return totals(own) if shared else own


def _magnitude(weight: Tensor) -> float:
    return float(own_part(weight).abs().sum(dtype=torch.float64))
