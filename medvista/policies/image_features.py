"""Features of images: those of equal images are computed once."""

from __future__ import annotations

import hashlib
import inspect
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor
from transformers.modeling_outputs import BaseModelOutputWithPooling

from medvista.policies.families import Family, Image

_KEPT = 2**26  # numbers that the features kept may take: 256 MiB in float32


class SeesImages(Protocol):
    """What is needed of a policy."""

    family: Family

    @property
    def base_model(self) -> Any:
        """In Hugging Face form."""

    @property
    def device(self) -> torch.device:
        """Where the weights are."""


@dataclass
class _Features(BaseModelOutputWithPooling):
    """What models read of a vision tower's output: beside ``pooler_output``, what is added in later layers."""

    deepstack_features: list[list[Tensor]] | None = None  # by layer


class ImageFeatures:
    """What the vision tower makes of images, kept while the weights stay as they are.

    Siblings see the same images and often make the same call, and questions share images. Where a model cannot be
    handed features, it is handed the pixels and encodes each image as often as it is shown.

    With gradients on, the features of an image carry those of all rows that show it back to the vision tower.

    Args:
        policy: whose vision tower is used.
        kept: numbers that the features kept may take, about; those used last are kept.
    """

    def __init__(self, policy: SeesImages, *, kept: int = _KEPT) -> None:
        self.policy = policy
        self.kept = kept
        self.encoded = 0  # images that went through the vision tower so far
        self.distinct = 0  # different ones of them, counted anew when the weights change
        self.shown = 0  # images that the model was shown so far
        self._features: OrderedDict[bytes, tuple[Tensor, list[Tensor]]] = OrderedDict()
        self._seen: set[bytes] = set()
        self._stacked = False  # whether the features of several images are one tensor
        self._takes_features: bool | None = None  # not known before the first image

    def inputs(self, images: Sequence[Image]) -> dict[str, Any]:
        """What the model is handed for images, in the order of their placeholders; empty for none."""
        self.shown += len(images)
        if not images:
            return {}
        if self._takes_features is None:
            self._takes_features = "mm_encoder_outputs" in inspect.signature(self.policy.base_model.forward).parameters
        names = self._names(images)
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
        self._seen.clear()

    def _names(self, images: Sequence[Image]) -> list[bytes]:
        """A name per image; how many are new is counted."""
        by_object = {id(image): image_name(image) for image in {id(image): image for image in images}.values()}
        self.distinct += len(set(by_object.values()) - self._seen)
        self._seen |= set(by_object.values())
        return [by_object[id(image)] for image in images]

    def _encode(self, images: Mapping[bytes, Image]) -> bool:
        """Computes and keeps the features of images; False where the model does not give them image by image."""
        tensors = self.policy.family.collate(list(images.values()), self.policy.device)
        outputs = self.policy.base_model.get_image_features(**tensors, return_dict=True)
        self._stacked = isinstance(outputs.pooler_output, Tensor)
        pooled = self._by_image(outputs.pooler_output, list(images.values()))
        self._takes_features = len(pooled) == len(images)
        if self._takes_features:
            self.encoded += len(images)
            deep = getattr(outputs, "deepstack_features", None) or ()
            self._features |= {
                name: (pooled[index], [layer[index] for layer in deep]) for index, name in enumerate(images)
            }
        return self._takes_features

    def _by_image(self, pooled: Any, images: Sequence[Image]) -> Sequence[Tensor]:
        """The features of each image; as many as there are images where the model's output says which are whose."""
        if isinstance(pooled, Tensor):  # by tile, of which an image may have several
            sizes = [len(image["pixel_values"]) for image in images]
        elif len(pooled) == len(images):
            return list(pooled)
        else:  # by row of a batch, and all images are those of one row
            family, pooled = self.policy.family, torch.cat(list(pooled))
            sizes = [family.placeholders(image).count(family.image_token) for image in images]
        return pooled.split(sizes) if sum(sizes) == len(pooled) else ()

    def _forget_oldest(self, used: Sequence[bytes]) -> None:
        if torch.is_grad_enabled():  # whose graph holds them anyway
            return
        for name in dict.fromkeys(used):
            self._features.move_to_end(name)
        while self._features and sum(map(_size, self._features.values())) > self.kept:
            self._features.popitem(last=False)


def shapes(images: Sequence[Image], device: torch.device) -> dict[str, Tensor]:
    """What positions may depend on of images: all but their pixels."""
    names = [name for name in images[0] if name != "pixel_values"] if images else []
    return {name: torch.cat([image[name] for image in images]).to(device) for name in names}


def _size(features: tuple[Tensor, list[Tensor]]) -> int:
    pooled, deep = features
    return pooled.numel() + sum(layer.numel() for layer in deep)


def _joined(features: Sequence[tuple[Tensor, list[Tensor]]], stacked: bool) -> _Features:
    """What the vision tower would have given for all of these images at once."""
    pooled, deep = zip(*features, strict=True)
    layers = [list(images) for images in zip(*deep, strict=True)]
    joined: Any = torch.cat(pooled) if stacked else list(pooled)
    return _Features(pooler_output=joined, deepstack_features=layers)


def image_name(image: Image) -> bytes:
    """Equal for equal images."""
    digest = hashlib.blake2b(digest_size=16)
    for name, tensor in sorted(image.items()):
        digest.update(f"{name} {tuple(tensor.shape)}".encode())
        digest.update(tensor.cpu().contiguous().view(torch.uint8).numpy().tobytes())
    return digest.digest()
