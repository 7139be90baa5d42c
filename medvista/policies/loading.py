"""How a model is loaded: what its weights are kept in, what of them is trained, adapters, quantisation.

All of it is decided here, before a trainer's strategy wraps the policy.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from torch import nn
from transformers import AutoModelForImageTextToText

from medvista.errors import UserError
from medvista.policies.adapters import add_adapters, has_adapters, load_adapters, read_base
from medvista.policies.name_patterns import check_patterns, matches
from medvista.settings import LoRAConfig, Quantisation, WeightsDtype

_DTYPES: dict[str, torch.dtype | Literal["auto"]] = {
    "float32": torch.float32,
    "bfloat16": torch.bfloat16,
    "float16": torch.float16,
    "auto": "auto",
}


@dataclass(frozen=True, kw_only=True)
class Loading:
    """What becomes of a model's weights when it is loaded; by default float32, and all of them trained."""

    dtype: WeightsDtype | Literal["float16"] = "float32"
    freeze: Sequence[str] = ()  # patterns of weights that are not trained
    lora: LoRAConfig | None = None  # adapters to train instead of the weights
    quantise: Quantisation = "none"
    trains: bool = True  # False: the weights are only used, as in an evaluation
    seed: int = 0  # of the first weights of adapters


def load_model(path: str | Path, loading: Loading, **model_kwargs: Any) -> Any:
    """A model in Hugging Face form, with its adapters, and with gradients only where it is to be trained.

    Args:
        path: hub id or folder of a model, or folder of PEFT adapters, whose base model is loaded first.
        loading: see `Loading`.
        model_kwargs: handed to ``AutoModelForImageTextToText.from_pretrained``; they win over `loading`.

    Raises:
        UserError: adapters without their base, quantisation without its package, patterns that name nothing.
    """
    base = read_base(path)
    options = {"dtype": _DTYPES[loading.dtype], **_quantised(loading), **model_kwargs}
    try:
        model = AutoModelForImageTextToText.from_pretrained(base or path, trust_remote_code=False, **options)
    except (OSError, ValueError) as error:
        if base is None:
            raise
        first_line = str(error).strip().splitlines()[0]
        raise UserError(
            f"the adapters in {path} belong to {base}, which cannot be loaded ({first_line}): put it there, or set "
            "base_model_name_or_path in their adapter_config.json."
        ) from error
    if base is not None:
        model = load_adapters(model, path, loading.lora)
    elif loading.lora is not None and loading.trains:
        model = add_adapters(model, loading.lora, loading.seed)
    if loading.quantise != "none" and loading.trains and not has_adapters(model):
        raise UserError(
            f"policy.quantise={loading.quantise} leaves nothing to train: quantised weights take no update; add "
            "adapters, policy.lora.rank=16."
        )
    freeze_by_name(model, loading.freeze)
    return model


def freeze_by_name(model: nn.Module, patterns: Sequence[str]) -> None:
    """Takes the weights that patterns name out of training.

    Raises:
        UserError: a pattern names nothing, or nothing is left to train.
    """
    check_patterns(patterns, [name for name, _ in model.named_parameters()], "policy.freeze")
    for name, parameter in model.named_parameters():
        if any(matches(name, pattern) for pattern in patterns):
            parameter.requires_grad_(False)
    if patterns and not any(parameter.requires_grad for parameter in model.parameters()):
        raise UserError(f"policy.freeze={list(patterns)} leaves nothing to train.")


def _quantised(loading: Loading) -> dict[str, Any]:
    """What transformers is told to load the weights in 4 bits (QLoRA, arXiv 2305.14314)."""
    if loading.quantise == "none":
        return {}
    if importlib.util.find_spec("bitsandbytes") is None:
        raise UserError(
            f"policy.quantise={loading.quantise} needs the package bitsandbytes: pip install medvista[quantise], or "
            "leave policy.quantise=none."
        )
    from transformers import BitsAndBytesConfig

    compute = torch.float32 if loading.dtype == "float32" else torch.bfloat16
    config = BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_use_double_quant=True,
        bnb_4bit_compute_dtype=compute,
    )
    return {"quantization_config": config}
