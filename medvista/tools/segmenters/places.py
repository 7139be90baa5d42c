"""Boxes and points to masks, with any model of the SAM family."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from medvista.tools.segmenters.base import Prompt, Segmentation
from medvista.tools.segmenters.embedding_cache import Embedding, EmbeddingCache
from medvista.tools.segmenters.input_view import InputView


class PlaceSegmenter:
    """One mask per prompt, from `SamModel`, `Sam2Model`, `Sam3TrackerModel` or a model that answers like them.

    Args:
        model: has ``get_image_embeddings`` and, from them and prompts, ``pred_masks`` and ``iou_scores``.
        view: what the model reads.
        choose: take the best of the model's three proposals where one point alone may mean a part or the whole, as SAM
            was trained to; the MedSAMs were trained on one mask only.
        cached_images: number of image embeddings kept.
    """

    def __init__(self, model: Any, view: InputView, *, choose: bool = True, cached_images: int = 32) -> None:
        self.model = model.eval().requires_grad_(False)
        self.view = view
        self._choose = choose
        self._cache = EmbeddingCache(cached_images)

    @torch.inference_mode()
    def segment(self, pictures: Sequence[np.ndarray], prompts: Sequence[Prompt]) -> list[list[Segmentation]]:
        """The mask of each prompt: new pictures are embedded in one pass, prompts of one layout decoded in one."""
        embeddings = self._cache.get(pictures, self._embed)
        found: list[list[Segmentation]] = [[] for _ in prompts]
        for layout, places in _by_layout(prompts).items():
            chosen = [prompts[place] for place in places]
            shapes = [pictures[place].shape for place in places]
            choose = self._choose and layout == (False, 1)
            logits, scores = self._decode([embeddings[place] for place in places], chosen, shapes, choose)
            for place, shape, mask, score in zip(places, shapes, logits, scores, strict=True):
                found[place] = [Segmentation(mask=self.view.mask(mask, shape), score=float(score))]
        return found

    def _embed(self, pictures: Sequence[np.ndarray]) -> list[Embedding]:
        pixels = torch.cat([self.view.tensor(picture) for picture in pictures]).to(self._device)
        maps = self.model.get_image_embeddings(pixels)
        maps = (maps,) if isinstance(maps, Tensor) else tuple(maps)
        # Copies, so that an embedding kept does not keep its whole batch.
        return [tuple(m[index : index + 1].clone() for m in maps) for index in range(len(pictures))]

    def _decode(
        self,
        embeddings: Sequence[Embedding],
        prompts: Sequence[Prompt],
        shapes: Sequence[tuple[int, ...]],
        choose: bool,
    ) -> tuple[Tensor, Tensor]:
        """The best mask of each prompt, ``[prompts, h, w]`` logits, and its score, ``[prompts]``."""
        maps = [torch.cat(parts) for parts in zip(*embeddings, strict=True)]
        output = self.model(
            image_embeddings=maps[0] if len(maps) == 1 else maps,
            multimask_output=choose,
            **self._prompt_tensors(prompts, shapes),
        )
        masks, scores = output.pred_masks[:, 0], output.iou_scores[:, 0]  # [prompts, proposals, h, w], [.., proposals]
        best = scores.argmax(dim=1)
        rows = torch.arange(len(prompts), device=masks.device)
        return masks[rows, best], scores[rows, best]

    def _prompt_tensors(self, prompts: Sequence[Prompt], shapes: Sequence[tuple[int, ...]]) -> dict[str, Tensor]:
        tensors = {}
        has_box, points = prompts[0].layout
        pairs = list(zip(prompts, shapes, strict=True))
        if has_box:
            corners = [self.view.points([p.box[:2], p.box[2:]], shape) for p, shape in pairs if p.box is not None]
            tensors["input_boxes"] = torch.stack(corners).view(-1, 1, 4)
        if points:
            placed = [self.view.points([*p.inside, *p.outside], shape) for p, shape in pairs]
            labels = [[1] * len(p.inside) + [0] * len(p.outside) for p in prompts]
            tensors["input_points"] = torch.stack(placed)[:, None]
            tensors["input_labels"] = torch.tensor(labels)[:, None]
        return {name: tensor.to(self._device) for name, tensor in tensors.items()}

    @property
    def _device(self) -> torch.device:
        return next(self.model.parameters()).device


def _by_layout(prompts: Sequence[Prompt]) -> dict[tuple[bool, int], list[int]]:
    """Places of the prompts that can share a batch."""
    places: dict[tuple[bool, int], list[int]] = defaultdict(list)
    for place, prompt in enumerate(prompts):
        places[prompt.layout].append(place)
    return places
