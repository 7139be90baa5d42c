"""Phrases to boxes: open-vocabulary detectors through transformers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import torch
from PIL import Image
from transformers import AutoProcessor, GroundingDinoForObjectDetection, Owlv2ForObjectDetection

from medvista.settings import DetectorName, GroundConfig
from medvista.tools.checkpoints import load_whole, pick_device, require_checkpoint
from medvista.types import Box

CHECKPOINTS: dict[DetectorName, str] = {
    "grounding_dino": "IDEA-Research/grounding-dino-tiny",
    "owlv2": "google/owlv2-base-patch16-ensemble",
}
_MODELS: dict[DetectorName, Any] = {
    "grounding_dino": GroundingDinoForObjectDetection,
    "owlv2": Owlv2ForObjectDetection,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Detection:
    """A box a detector found."""

    box: Box  # x1, y1, x2, y2, pixels of the picture, within it
    score: float  # the model's confidence, 0-1


class Detector(Protocol):
    """Boxes of phrases."""

    def detect(self, pictures: Sequence[np.ndarray], phrases: Sequence[str]) -> list[list[Detection]]:
        """The boxes of each phrase on its picture, best first; none where nothing was found.

        Args:
            pictures: displays ``[H, W]`` or ``[H, W, 3]`` uint8, one per phrase.
            phrases: what to look for, one per picture.
        """


def require_detector(config: GroundConfig) -> None:
    """Make sure that `load_detector` will find what it needs; reads no weights.

    Raises:
        UserError: weights are missing; the message says where to get them.
    """
    pick_device(config.device)
    require_checkpoint(config.checkpoint or CHECKPOINTS[config.backend], download=config.download)


def load_detector(config: GroundConfig) -> ZeroShotDetector:
    """The detector from a folder or the hub, its weights read; its processor does without torchvision.

    Raises:
        UserError: the checkpoint is of another model.
        OSError: transformers cannot load it.
    """
    checkpoint = config.checkpoint or CHECKPOINTS[config.backend]
    processor = AutoProcessor.from_pretrained(checkpoint, local_files_only=not config.download, trust_remote_code=False)
    model = load_whole(_MODELS[config.backend], checkpoint, download=config.download)
    return ZeroShotDetector(config.backend, model.to(pick_device(config.device)), processor, threshold=config.threshold)


class ZeroShotDetector:
    """Grounding DINO (Liu et al. 2023, arXiv 2303.05499) or OWLv2 (Minderer et al. 2023, arXiv 2306.09683).

    Args:
        name: which of the two; they take phrases in different forms.
        model: of transformers.
        processor: of the same checkpoint.
        threshold: lowest confidence of a box.
        overlap: of two boxes with a larger intersection over union only the better is kept.
    """

    def __init__(
        self, name: DetectorName, model: Any, processor: Any, *, threshold: float = 0.3, overlap: float = 0.5
    ) -> None:
        self.name = name
        self.model = model.eval().requires_grad_(False)
        self._processor = processor
        self._threshold = threshold
        self._overlap = overlap

    @torch.inference_mode()
    def detect(self, pictures: Sequence[np.ndarray], phrases: Sequence[str]) -> list[list[Detection]]:
        """The boxes of each phrase on its picture, best first."""
        shown = [Image.fromarray(picture).convert("RGB") for picture in pictures]
        device = next(self.model.parameters()).device
        # OWLv2 pads to a fixed length by itself, Grounding DINO to the longest phrase of a batch on request.
        padding = {} if self.name == "owlv2" else {"padding": True}
        texts = self._texts(phrases)
        inputs = self._processor(images=shown, text=texts, return_tensors="pt", truncation=True, **padding).to(device)
        output = self.model(**inputs)
        sizes = [(picture.height, picture.width) for picture in shown]
        # Each phrase is the only one of its picture, so that labels need no reading.
        found = self._processor.post_process_grounded_object_detection(
            output, threshold=self._threshold, target_sizes=sizes
        )
        return [self._detections(one, picture.size) for one, picture in zip(found, shown, strict=True)]

    def _texts(self, phrases: Sequence[str]) -> Any:
        if self.name == "owlv2":
            return [[f"a photo of {phrase}"] for phrase in phrases]
        # Grounding DINO wants lower case, and a stop at the end of each phrase.
        return [f"{phrase.lower().replace('.', ' ').strip()}." for phrase in phrases]

    def _detections(self, found: Any, size: tuple[int, int]) -> list[Detection]:
        width, height = size
        boxes = [_clip(box, width, height) for box in found["boxes"].tolist()]
        pairs = zip(boxes, found["scores"].tolist(), strict=True)
        whole = [Detection(box=box, score=score) for box, score in pairs if box[0] < box[2] and box[1] < box[3]]
        kept: list[Detection] = []
        for detection in sorted(whole, key=lambda one: -one.score):
            if all(_overlap(detection.box, other.box) <= self._overlap for other in kept):
                kept.append(detection)
        return kept


def _clip(box: Sequence[float], width: int, height: int) -> Box:
    x1, y1, x2, y2 = box
    return max(x1, 0.0), max(y1, 0.0), min(x2, float(width)), min(y2, float(height))


def _overlap(one: Box, other: Box) -> float:
    """Intersection over union of two boxes."""
    width = min(one[2], other[2]) - max(one[0], other[0])
    height = min(one[3], other[3]) - max(one[1], other[1])
    shared = max(width, 0.0) * max(height, 0.0)
    areas = sum((box[2] - box[0]) * (box[3] - box[1]) for box in (one, other))
    return shared / max(areas - shared, 1e-9)
