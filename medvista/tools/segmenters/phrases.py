"""Phrases to masks: SAM 3, which reads them, or a detector that finds boxes for any other segmenter."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch

from medvista.tools.detectors import Detector
from medvista.tools.segmenters.base import Prompt, Segmentation, Segmenter
from medvista.tools.segmenters.input_view import InputView


class ConceptSegmenter:
    """Every instance of a phrase, with `Sam3Model`; boxes and points go to another segmenter.

    Args:
        model: a `Sam3Model`.
        tokenizer: of its text encoder.
        view: what the model reads.
        by_place: for prompts without a phrase.
        threshold: lowest probability of an instance.
    """

    def __init__(
        self, model: Any, tokenizer: Any, view: InputView, by_place: Segmenter, *, threshold: float = 0.3
    ) -> None:
        self.model = model.eval().requires_grad_(False)
        self._tokenizer = tokenizer
        self._view = view
        self._by_place = by_place
        self._threshold = threshold

    def segment(self, pictures: Sequence[np.ndarray], prompts: Sequence[Prompt]) -> list[list[Segmentation]]:
        """The instances of each phrase, and the mask of each other prompt."""
        placed = [index for index, prompt in enumerate(prompts) if not prompt.text]
        found: list[list[Segmentation]] = [[] for _ in prompts]
        answers = self._by_place.segment([pictures[i] for i in placed], [prompts[i] for i in placed]) if placed else []
        for index, answer in zip(placed, answers, strict=True):
            found[index] = answer
        for index, prompt in enumerate(prompts):
            if prompt.text:
                found[index] = self._instances(pictures[index], prompt.text)
        return found

    @torch.inference_mode()
    def _instances(self, picture: np.ndarray, phrase: str) -> list[Segmentation]:
        device = next(self.model.parameters()).device
        limit = self.model.config.text_config.max_position_embeddings
        # Padded to its full length, as the model was trained.
        tokens = self._tokenizer(phrase, return_tensors="pt", padding="max_length", max_length=limit, truncation=True)
        output = self.model(
            pixel_values=self._view.tensor(picture).to(device),
            input_ids=tokens["input_ids"].to(device),
            attention_mask=tokens["attention_mask"].to(device),
        )
        scores = output.pred_logits[0].sigmoid()
        if output.presence_logits is not None:  # that the phrase is on the picture at all
            scores = scores * output.presence_logits[0].sigmoid()
        best = [int(index) for index in scores.argsort(descending=True) if scores[index] > self._threshold]
        masks = (self._view.mask(output.pred_masks[0, index], picture.shape) for index in best)
        return [Segmentation(mask=mask, score=float(scores[i])) for i, mask in zip(best, masks, strict=True)]


class DetectingSegmenter:
    """Phrases for a segmenter without a text encoder: a detector finds boxes, the segmenter outlines them."""

    def __init__(self, segmenter: Segmenter, detector: Detector) -> None:
        self._segmenter = segmenter
        self._detector = detector

    def segment(self, pictures: Sequence[np.ndarray], prompts: Sequence[Prompt]) -> list[list[Segmentation]]:
        """The mask of each box of each phrase, and the mask of each other prompt."""
        shown: list[np.ndarray] = []
        asked: list[Prompt] = []
        owners: list[tuple[int, float | None]] = []
        for index, (picture, prompt) in enumerate(zip(pictures, prompts, strict=True)):
            for box_prompt, score in self._boxes(picture, prompt):
                shown.append(picture)
                asked.append(box_prompt)
                owners.append((index, score))
        found: list[list[Segmentation]] = [[] for _ in prompts]
        for (index, score), answers in zip(owners, self._segmenter.segment(shown, asked), strict=True):
            found[index] += [answer if score is None else replace(answer, score=score) for answer in answers]
        return found

    def _boxes(self, picture: np.ndarray, prompt: Prompt) -> list[tuple[Prompt, float | None]]:
        if not prompt.text:
            return [(prompt, None)]
        (detections,) = self._detector.detect([picture], [prompt.text])
        return [(Prompt(box=detection.box), detection.score) for detection in detections]
