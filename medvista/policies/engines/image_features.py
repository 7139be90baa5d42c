"""Features of images for generation: those of equal images are computed once."""

from __future__ import annotations

import hashlib
import inspect
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from transformers.modeling_outputs import BaseModelOutputWithPooling

from medvista.policies.families import Image
from medvista.policies.vlm_policy import VLMPolicy

_KEPT = 2**26  # numbers that the features kept may take: 256 MiB in float32


@dataclass
class _Features(BaseModelOutputWithPooling):
    """What models read of a vision tower's output: beside ``pooler_output``, what is added in later layers."""

    deepstack_features: list[list[Tensor]] | None = None  # by layer


class ImageFeatures:
    """What the vision tower makes of images, kept while the weights stay as they are.

    Siblings see the same images and often make the same call, and questions share images. Where a model cannot be
    handed features, it is handed the pixels and encodes each image as often as it is shown.

    Args:
        policy: whose vision tower is used.
        kept: numbers that the features kept may take, about; those used last are kept.
    """

    def __init__(self, policy: VLMPolicy, *, kept: int = _KEPT) -> None:
        self.policy = policy
        self.kept = kept
        self.encoded = 0  # images that went through the vision tower so far
        self.shown = 0  # images that the model was shown so far
        self._features: OrderedDict[bytes, tuple[Tensor, list[Tensor]]] = OrderedDict()
        self._stacked = False  # whether the features of several images are one tensor
        self._takes_features = "mm_encoder_outputs" in inspect.signature(policy.base_model.forward).parameters

    def inputs(self, images: Sequence[Image]) -> dict[str, Any]:
        """What the model is handed for images, in the order of their placeholders; empty for none."""
        self.shown += len(images)
        if not images:
            return {}
        names = [_name(image) for image in images]
        new = {name: image for name, image in zip(names, images, strict=True) if name not in self._features}
        if not self._takes_features or (new and not self._encode(new)):
            self.encoded += len(images)
            return self.policy.family.collate(images, self.policy.device)
        found = [self._features[name] for name in names]
        self._forget_oldest(names)
        return {"mm_encoder_outputs": {"image": _joined(found, self._stacked)}}

    def clear(self) -> None:
        """Forgets all features: the weights have changed."""
        self._features.clear()

    def _encode(self, images: Mapping[bytes, Image]) -> bool:
        """Computes and keeps the features of images; False where the model does not give them image by image."""
        tensors = self.policy.family.collate(list(images.values()), self.policy.device)
        outputs = self.policy.base_model.get_image_features(**tensors, return_dict=True)
        self._takes_features = len(outputs.pooler_output) == len(images)
        self._stacked = isinstance(outputs.pooler_output, Tensor)
        if self._takes_features:
            self.encoded += len(images)
            self._features |= {name: _of_one(outputs, index) for index, name in enumerate(images)}
        return self._takes_features

    def _forget_oldest(self, used: Sequence[bytes]) -> None:
        for name in dict.fromkeys(used):
            self._features.move_to_end(name)
        while self._features and sum(map(_size, self._features.values())) > self.kept:
            self._features.popitem(last=False)


def shapes(images: Sequence[Image], device: torch.device) -> dict[str, Tensor]:
    """What positions may depend on of images: all but their pixels."""
    names = [name for name in images[0] if name != "pixel_values"] if images else []
    return {name: torch.cat([image[name] for image in images]).to(device) for name in names}


def _of_one(outputs: Any, index: int) -> tuple[Tensor, list[Tensor]]:
    """The features of one of several images: those of its placeholders, and those added in later layers."""
    return outputs.pooler_output[index], [layer[index] for layer in getattr(outputs, "deepstack_features", None) or ()]


def _size(features: tuple[Tensor, list[Tensor]]) -> int:
    pooled, deep = features
    return pooled.numel() + sum(layer.numel() for layer in deep)


def _joined(features: Sequence[tuple[Tensor, list[Tensor]]], stacked: bool) -> _Features:
    """What the vision tower would have given for all of these images at once."""
    pooled, deep = zip(*features, strict=True)
    layers = [list(images) for images in zip(*deep, strict=True)]
    joined: Any = torch.stack(pooled) if stacked else list(pooled)
    return _Features(pooler_output=joined, deepstack_features=layers)


def _name(image: Image) -> bytes:
    """Equal for equal images."""
    digest = hashlib.blake2b(digest_size=16)
    for name, tensor in sorted(image.items()):
        digest.update(f"{name} {tuple(tensor.shape)}".encode())
        digest.update(tensor.cpu().contiguous().view(torch.uint8).numpy().tobytes())
    return digest.digest()
