"""Pictures as a model's image processor makes tensors of them, all of each picture and nothing around it."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Mapping, Sequence
from functools import cached_property
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from medvista.errors import UserError
from medvista.imaging.resample import widen
from medvista.notices import notice

_PROBES = ((64, 128), (128, 64))  # height, width: wide and tall
_REFUSED_ASPECT = 10  # longer side by shorter that every processor takes
_EDGE = 0.1  # of a side, that has to reach the model
_SQUARED = "pictures were resized to the shape of the model's input, whose processor would crop or pad them"

Split = Callable[[Mapping[str, Any]], list[dict[str, Tensor]]]


def one_each(batch: Mapping[str, Any]) -> list[dict[str, Tensor]]:
    """What a processor gave for several pictures, as one mapping per picture, where each is one tensor."""
    return [{"pixel_values": pixels[None]} for pixels in batch["pixel_values"]]


class PictureInput:
    """Makes tensors of pictures through an image processor that may not cut anything off.

    A box towards the model is 0-1000 of the picture shown. A processor that crops (CLIP's, and with it LLaVA's) would
    hide what a box may point at, and one that pads to a square would shift all boxes. Both are told to resize the whole
    picture to the shape they feed the model instead. That changes its proportions, and no box. A processor that still
    loses an edge is refused.

    Args:
        processor: an image processor of transformers, or one that is called like them.
        tensors: what it may give; anything else is for a model of another family.
        split: what it gave for several pictures, as one mapping per picture.
        arrange: pictures in the form in which it is given them.
        options: what it is told beside them; by default what undoes a crop, or padding to a square.
    """

    def __init__(
        self,
        processor: Any,
        *,
        tensors: Collection[str] = ("pixel_values",),
        split: Split = one_each,
        arrange: Callable[[list[np.ndarray]], Any] = list,
        options: Mapping[str, Any] | None = None,
    ) -> None:
        self.processor = processor
        self.tensors = tensors
        self.split = split
        self.arrange = arrange
        self.given = options

    def __call__(self, pictures: Sequence[np.ndarray]) -> list[dict[str, Tensor]]:
        """The processor's tensors, one mapping per picture.

        Args:
            pictures: ``[H, W]`` or ``[H, W, 3]`` uint8.

        Raises:
            UserError: the processor gives what no rendering here supports, or cuts off edges.
        """
        if not pictures:
            return []
        if not self._keeps_edges:
            raise UserError(
                f"the image processor {type(self.processor).__name__} cuts off the edges of pictures that are not "
                "square, and boxes point at all of a picture; use a processor that resizes without a crop."
            )
        if self._undoing and any(picture.shape[0] != picture.shape[1] for picture in pictures):
            notice(_SQUARED, type(self.processor).__name__)
        return self._process([_as_rgb(widen(picture)) for picture in pictures])

    @cached_property
    def _undoing(self) -> dict[str, Any]:
        """What the processor is told to do otherwise: nothing where it neither crops nor pads to a square."""
        if self.given is not None:
            return {}
        undo = {name: False for name in ("do_center_crop", "do_pad") if getattr(self.processor, name, None)}
        shape = _side(getattr(self.processor, "crop_size" if "do_center_crop" in undo else "size", None))
        return {**undo, "do_resize": True, "size": shape} if undo and shape else {}

    @cached_property
    def _keeps_edges(self) -> bool:
        """Whether a mark along any edge of a picture changes what the model gets."""
        for height, width in _PROBES:
            plain = np.zeros((height, width, 3), dtype=np.uint8)
            marked = [plain.copy() for _ in range(4)]
            across, down = round(_EDGE * width), round(_EDGE * height)
            marked[0][:, :across], marked[1][:, -across:] = 255, 255
            marked[2][:down], marked[3][-down:] = 255, 255
            unmarked, *others = self._process([plain, *marked])
            if any(torch.equal(unmarked["pixel_values"], other["pixel_values"]) for other in others):
                return False
        return True

    def _process(self, rgb: Sequence[np.ndarray]) -> list[dict[str, Tensor]]:
        options = {"return_tensors": "pt", "input_data_format": "channels_last", **(self.given or self._undoing)}
        try:
            batch = self.processor(images=self.arrange(list(rgb)), **options)
        except ValueError:  # of a size of which nothing would be left
            less_narrow = [drawn_out(picture, type(self.processor).__name__) for picture in rgb]
            if all(new is old for new, old in zip(less_narrow, rgb, strict=True)):
                raise
            batch = self.processor(images=self.arrange(less_narrow), **options)
        if unknown := sorted(set(batch) - set(self.tensors)):
            raise UserError(
                f"the image processor {type(self.processor).__name__} also gives {', '.join(unknown)}, "
                "which this model's family does not take; use the image processor that belongs to the model."
            )
        return self.split(batch)


def drawn_out(picture: np.ndarray, processor: str) -> np.ndarray:
    """A picture ``[H, W, 3]`` uint8, its shorter side drawn out to a tenth of the longer; any other as it is.

    Args:
        processor: that refuses the picture, named in the notice.
    """
    height, width = picture.shape[:2]
    least = math.ceil(max(height, width) / _REFUSED_ASPECT)
    if min(height, width) >= least:
        return picture
    notice("pictures were drawn out, of a shape that the model's image processor refuses", processor)
    size = max(width, least), max(height, least)
    return np.asarray(Image.fromarray(picture).resize(size, Image.Resampling.BICUBIC))


def square(picture: np.ndarray, side: int, processor: str) -> np.ndarray:
    """A picture ``[H, W]`` or ``[H, W, 3]`` uint8 as a square of `side` pixels; one that is square as it is.

    Args:
        processor: that would pad the picture otherwise, named in the notice.
    """
    if picture.shape[0] == picture.shape[1]:
        return picture
    notice(_SQUARED, processor)
    return np.asarray(Image.fromarray(picture).resize((side, side), Image.Resampling.BICUBIC))


def enlarged(picture: np.ndarray, side: int, processor: str) -> np.ndarray:
    """A picture ``[H, W]`` or ``[H, W, 3]`` uint8 in its proportions, its longer side as many pixels as `side`.

    Args:
        processor: that makes too few tokens of the picture, named in the notice.
    """
    notice("pictures were enlarged, of which the model would have seen a single token", processor)
    height, width = (max(1, round(size * side / max(picture.shape[:2]))) for size in picture.shape[:2])
    return np.asarray(Image.fromarray(picture).resize((width, height), Image.Resampling.BICUBIC))


def _side(size: Any) -> dict[str, int] | None:
    """Height and width of a size as processors write it: a number, a mapping of both, or of the shorter side."""
    if isinstance(size, int):
        return {"height": size, "width": size}
    height, width, side = (_named(size, name) for name in ("height", "width", "shortest_edge"))
    if height and width:
        return {"height": height, "width": width}
    return {"height": side, "width": side} if side else None


def _named(size: Any, name: str) -> int | None:
    return size.get(name) if isinstance(size, Mapping) else getattr(size, name, None)


def _as_rgb(pixels: np.ndarray) -> np.ndarray:
    """``[H, W]`` or ``[H, W, 3]`` uint8 -> ``[H, W, 3]``."""
    return pixels if pixels.ndim == 3 else np.repeat(pixels[..., None], 3, axis=-1)
