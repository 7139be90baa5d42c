"""LoRA adapters (arXiv 2106.09685) through PEFT: which layers get one, how they are kept, switched off and merged.

PEFT puts an adapter into each layer that it is for, and the model around the layers stays what it was. The policy holds
that model, never PEFT's wrapper: what asks the model for its body, its head or its positions gets the right answer.
"""

from __future__ import annotations

import copy
import importlib.util
import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor, nn
from transformers.utils.peft_utils import find_adapter_config_file

from medvista.errors import UserError
from medvista.policies.name_patterns import check_patterns, matches
from medvista.settings import LoRAConfig

_NAME = "default"  # PEFT's own for the one adapter of a model
_PREFIX = "base_model.model."  # what PEFT's files put before the names of a model's weights
_INSTALL = "pip install medvista[lora]"


def has_adapters(model: Any) -> bool:
    """Whether adapters are in a model's layers."""
    return bool(getattr(model, "peft_config", None))


def unwrapped(model: Any) -> Any:
    """The model that PEFT has wrapped, with the adapters in its layers; anything else as it is.

    Raises:
        UserError: the adapters live in the wrapper, as prompt tuning does, and would be lost.
    """
    if not hasattr(model, "get_base_model"):
        return model
    if model.active_peft_config.is_prompt_learning:
        raise UserError(f"adapters of kind {model.active_peft_config.peft_type} are not supported; use LoRA.")
    return model.get_base_model()


def read_base(path: str | Path) -> str | None:
    """The base model that the adapters in a folder, or behind a hub id, belong to; None where there are none."""
    try:
        found = find_adapter_config_file(str(path))
    except OSError:
        return None
    if found is None:
        return None
    try:
        base = json.loads(Path(found).read_text()).get("base_model_name_or_path")
    except ValueError as error:
        raise UserError(f"{found} is not valid JSON: {error}.") from None
    if not base:
        raise UserError(f"{found} does not say which model its adapters belong to: set base_model_name_or_path in it.")
    return str(base)


def add_adapters(model: Any, config: LoRAConfig, seed: int = 0) -> Any:
    """Puts fresh adapters, which change nothing yet, into the layers that are asked for; only they are trained.

    Args:
        model: in Hugging Face form.
        config: see `LoRAConfig`.
        seed: of their first weights, the same in every process.

    Raises:
        UserError: PEFT is missing, or a target names no layer.
    """
    peft = _peft()
    layers = target_layers(model, config.targets, config.exclude)
    alpha = 2 * config.rank if config.alpha is None else config.alpha
    settings = peft.LoraConfig(r=config.rank, lora_alpha=alpha, lora_dropout=config.dropout, target_modules=layers)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return peft.get_peft_model(model, settings).get_base_model()


def load_adapters(model: Any, path: str | Path, config: LoRAConfig | None = None) -> Any:
    """A model with the adapters of a folder, or hub id, in its layers; only they are trained.

    Args:
        model: their base model.
        path: where they are.
        config: what the experiment wants adapters to be like; None takes them as they are.

    Raises:
        UserError: PEFT is missing, or they are not like that, or belong to another model.
    """
    peft = _peft()
    try:
        wrapped = peft.PeftModel.from_pretrained(model, str(path), is_trainable=True)
    except (RuntimeError, ValueError) as error:
        first_line = str(error).strip().splitlines()[0]
        raise UserError(f"the adapters in {path} do not fit {model.name_or_path} ({first_line}).") from error
    kept = wrapped.active_peft_config
    if config is not None and config.rank != getattr(kept, "r", None):
        raise UserError(
            f"policy.lora.rank={config.rank}, but the adapters in {path} have rank {getattr(kept, 'r', None)}: give "
            "that rank, or merge them first (python -m experiments.merge) and start with fresh ones."
        )
    return unwrapped(wrapped)


def save_adapters(model: Any, path: str | Path) -> None:
    """Writes the adapters in a model's layers as a PEFT folder, without the model."""
    peft = _peft()
    folder = Path(path)
    folder.mkdir(parents=True, exist_ok=True)
    settings = copy.copy(model.peft_config[_NAME])
    settings.inference_mode = True
    base = Path(settings.base_model_name_or_path or "")
    if settings.base_model_name_or_path and base.is_dir():
        settings.base_model_name_or_path = str(base.resolve())
    settings.save_pretrained(str(folder))
    state = peft.get_peft_model_state_dict(model, adapter_name=_NAME, save_embedding_layers=False)
    tensors = {_PREFIX + name: tensor.detach().cpu().contiguous() for name, tensor in state.items()}
    save_file(tensors, folder / "adapter_model.safetensors", metadata={"format": "pt"})


def merge_adapters(model: Any) -> None:
    """Adds the adapters of a model to its weights, in place: an ordinary model is left, all of it trained.

    Raises:
        UserError: the weights are quantised, and would be rounded once more.
    """
    for name, layer in list(_adapted_layers(model)):
        if hasattr(layer.get_base_layer().weight, "quant_state"):
            raise UserError(
                "adapters are not merged into quantised weights, which would round them: load the base model without "
                "policy.quantise and merge there (python -m experiments.merge)."
            )
        layer.merge(safe_merge=True)
        model.set_submodule(name, layer.get_base_layer())
    if has_adapters(model):
        del model.peft_config
    model.requires_grad_(True)


def merged_state_dict(model: Any) -> Iterator[tuple[str, Tensor]]:
    """The weights of a model by name, as those of an ordinary model: each with its adapter added, none of them changed.

    Raises:
        UserError: the weights are quantised.
    """
    adapted = dict(_adapted_layers(model))
    for name, tensor in model.state_dict().items():
        owner, _, weight = name.rpartition(".base_layer.")
        if not owner:
            if not any(name.startswith(f"{layer}.") for layer in adapted):
                yield name, tensor
            continue
        layer = adapted[owner]
        if hasattr(layer.get_base_layer().weight, "quant_state"):
            raise UserError("quantised weights cannot be handed to another engine: leave policy.quantise out.")
        delta = layer.get_delta_weight(_NAME) if weight == "weight" else 0
        yield f"{owner}.{weight}", tensor + delta


@contextmanager
def adapters_off(model: Any) -> Iterator[None]:
    """Inside, the model computes as if it had no adapters."""
    trained = {id(parameter) for parameter in model.parameters() if parameter.requires_grad}
    layers = [layer for _, layer in _adapted_layers(model)]
    for layer in layers:
        layer.enable_adapters(False)
    try:
        yield
    finally:
        for layer in layers:
            layer.enable_adapters(True)
        for parameter in model.parameters():  # PEFT takes the gradients with it, and gives them to all it finds
            if parameter.is_floating_point():
                parameter.requires_grad_(id(parameter) in trained)


def are_fresh(model: Any) -> bool:
    """Whether the adapters change nothing: each ends in a matrix of zeros."""
    ends = [parameter for name, parameter in model.named_parameters() if ".lora_B." in name]
    return not any(bool(end.any()) for end in ends)


def target_layers(model: Any, targets: Sequence[str], exclude: Sequence[str]) -> list[str]:
    """Names of the linear layers that adapters are for.

    Args:
        model: in Hugging Face form.
        targets: ``language``, ``vision`` (the image encoder and what leads from it to the language model), or patterns.
        exclude: patterns of layers that get none.

    Raises:
        UserError: a pattern names no linear layer, none is left, or one is the head and shares its weights with the
            embeddings, which a merge would change as well.
    """
    linear = [name for name, layer in model.named_modules() if isinstance(layer, nn.Linear)]
    head = next((n for n, layer in model.named_modules() if layer is model.get_output_embeddings()), "")
    decoder = next(n for n, layer in model.named_modules() if layer is model.get_decoder())
    language = [name for name in linear if name.startswith(f"{decoder}.")]
    parts = {"language": language, "vision": [n for n in linear if n not in language]}
    check_patterns([target for target in targets if target not in parts], linear, "policy.lora.targets")
    check_patterns(exclude, linear, "policy.lora.exclude")
    chosen = {n for part in parts if part in targets for n in parts[part] if n != head}
    chosen |= {n for n in linear for t in targets if t not in parts and matches(n, t)}
    chosen = {name for name in chosen if not any(matches(name, pattern) for pattern in exclude)}
    if not chosen:
        raise UserError(f"policy.lora.targets={list(targets)} without {list(exclude)} leaves no layer to adapt.")
    if head in chosen and getattr(model.config, "tie_word_embeddings", False):
        raise UserError(
            f"policy.lora.targets names the head {head}, which shares its weights with the embeddings here: leave it "
            "out."
        )
    return sorted(chosen)


def _adapted_layers(model: Any) -> Iterator[tuple[str, Any]]:
    if not has_adapters(model):
        return
    from peft.tuners.tuners_utils import BaseTunerLayer

    for name, layer in model.named_modules():
        if isinstance(layer, BaseTunerLayer):
            yield name, layer


def _peft() -> Any:
    if importlib.util.find_spec("peft") is None:
        raise UserError(f"policy.lora needs the package peft: {_INSTALL}, or leave policy.lora out.")
    import peft

    return peft
