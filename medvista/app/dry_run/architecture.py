"""A model without its weights: its configuration, from folder, hub or package, and the shapes of its parameters."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from transformers import AutoConfig, AutoModelForImageTextToText

import medvista
from medvista.errors import UserError

_SHIPPED = Path(medvista.__file__).parent / "assets" / "architectures"
SHIPPED = "the package's copy of its configuration"


@dataclass(frozen=True, slots=True, kw_only=True)
class Architecture:
    """A model on the meta device."""

    model: Any  # in Hugging Face form; its parameters have shapes and no values
    source: str  # where the configuration came from, for a person

    @property
    def text(self) -> Any:
        """The configuration of the language model."""
        return self.model.config.get_text_config()

    @property
    def parameters(self) -> int:
        """How many there are; tied ones count once."""
        return sum(parameter.numel() for parameter in self.model.parameters())

    @property
    def outside_layers(self) -> int:
        """How many are not in the language model's layers: embeddings, head, vision tower."""
        layers = {id(parameter) for parameter in self.model.get_decoder().layers.parameters()}
        return sum(parameter.numel() for parameter in self.model.parameters() if id(parameter) not in layers)


def find_architecture(path: str) -> Architecture:
    """Builds the model of a folder or hub id on the meta device.

    Args:
        path: as ``policy.path`` has it. The models of the recipes are known without the hub.

    Raises:
        UserError: there is no configuration, or not one of a vision-language model.
    """
    config, source = _configuration(path)
    try:
        with torch.device("meta"):
            model = AutoModelForImageTextToText.from_config(config)
    except ValueError as error:
        raise UserError(f"policy.path={path} is no vision-language model that transformers knows ({error}).") from None
    model.tie_weights()
    return Architecture(model=model, source=source)


def shipped_architectures() -> dict[str, dict[str, Any]]:
    """Hub id -> its published configuration and number of parameters, of the models that recipes start from."""
    found = [json.loads(file.read_text()) for file in sorted(_SHIPPED.glob("*.json"))]
    return {each["hub_id"]: each for each in found}


def _configuration(path: str) -> tuple[Any, str]:
    is_folder = Path(path).is_dir()
    shipped = shipped_architectures()
    try:
        # Only files at hand: a dry run on a node without a network must not wait for the hub.
        config = AutoConfig.from_pretrained(path, local_files_only=not is_folder and path in shipped)
        return config, "its folder" if is_folder else "the hub"
    except (OSError, ValueError) as error:
        if path in shipped:
            values = dict(shipped[path]["config"])
            return AutoConfig.for_model(values.pop("model_type"), **values), SHIPPED
        first = str(error).strip().splitlines()[0]
        raise UserError(
            f"policy.path={path} has no configuration that can be read here ({first}); give a folder in Hugging Face "
            "format, or a hub id that this machine can reach."
        ) from None
