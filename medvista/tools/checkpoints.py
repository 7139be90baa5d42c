"""Where the weights of a tool are: a folder, or the local cache of the Hugging Face hub."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from huggingface_hub import try_to_load_from_cache
from huggingface_hub.errors import HFValidationError

from medvista.errors import UserError

_WEIGHTS = ("model.safetensors", "model.safetensors.index.json", "pytorch_model.bin", "pytorch_model.bin.index.json")
_MEND = "give a checkpoint of that model, or another backend"


def require_checkpoint(checkpoint: str, *, download: bool) -> None:
    """Make sure that a model can be loaded without a surprise later; reads no weights and asks no network.

    Args:
        checkpoint: a folder as `save_pretrained` writes it, or an id of the hub.
        download: the user allows the first call to download what is not in the cache.

    Raises:
        UserError: the weights are not here.
    """
    folder = Path(checkpoint).expanduser()
    if folder.is_dir():
        if not any((folder / name).is_file() for name in (*_WEIGHTS, "config.json")):
            raise UserError(f"the folder {folder} holds no model; give one with config.json and weights, or a hub id")
        return
    if download or _in_cache(checkpoint):
        return
    raise UserError(
        f"the weights {checkpoint} are neither a folder nor in the cache of the Hugging Face hub; run "
        f"`hf download {checkpoint}`, or set its option download to true, or checkpoint to a folder"
    )


def load_whole(model_class: Any, checkpoint: str, *, download: bool) -> Any:
    """A model of transformers with every weight from the checkpoint.

    Args:
        model_class: whose ``from_pretrained`` loads it.
        checkpoint: a folder or an id of the hub.
        download: whether it may be downloaded.

    Raises:
        UserError: the checkpoint is of another model. transformers would only warn, and leave weights random, and a
            tool would invent what it says it found.
        OSError: there is no such checkpoint.
    """
    try:
        model, report = model_class.from_pretrained(checkpoint, local_files_only=not download, output_loading_info=True)
    except OSError:
        raise
    except Exception as error:  # a configuration of another model may fail in any way
        reason = " ".join(str(error).split())[:200]
        raise UserError(f"the checkpoint {checkpoint} is none of {model_class.__name__} ({reason}); {_MEND}") from error
    absent = sorted({*report["missing_keys"], *(key for key, *_ in report["mismatched_keys"])})
    if absent:
        raise UserError(
            f"the checkpoint {checkpoint} lacks {len(absent)} weights of {model_class.__name__}, {absent[0]} for one; "
            f"{_MEND}"
        )
    return model


def pick_device(name: str) -> torch.device:
    """The device of that name; ``"auto"`` is a GPU where there is one.

    Raises:
        UserError: torch knows no such device, or has none here.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError:
        raise UserError(f"there is no device {name!r}; give auto, cpu or cuda") from None
    if device.type == "cuda" and not torch.cuda.is_available():
        raise UserError(f"the device {name!r} is not available here; give auto or cpu")
    return device


def _in_cache(checkpoint: str) -> bool:
    try:
        return any(isinstance(try_to_load_from_cache(checkpoint, name), str) for name in _WEIGHTS)
    except HFValidationError:  # not even the form of an id
        return False
