"""How the policies of a run are loaded: what the sections ``policy`` and ``trainer`` say of their weights."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from medvista.app.config.schema import ExperimentConfig
from medvista.policies import Loading

# Precisions that cast the weights themselves; the others only say what is computed in.
_CASTS: Mapping[str, Literal["bfloat16", "float16"]] = {"bf16-true": "bfloat16", "16-true": "float16"}


def loading(config: ExperimentConfig, *, trains: bool = True) -> Loading:
    """What becomes of a model's weights in this run.

    Args:
        config: of the run.
        trains: False where the weights are only used: nothing is frozen, and no adapter is added.
    """
    policy = config.policy
    dtype = _CASTS.get(config.trainer.precision, policy.dtype)
    if not trains:
        return Loading(dtype=dtype, quantise=policy.quantise, trains=False)
    return Loading(dtype=dtype, freeze=policy.freeze, lora=policy.lora, quantise=policy.quantise, seed=config.seed)
