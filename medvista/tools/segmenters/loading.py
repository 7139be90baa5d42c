"""From settings to a segmenter: which model, which weights, how it sees."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from transformers import (
    AutoTokenizer,
    Sam2Model,
    Sam3Model,
    Sam3TrackerModel,
    SamModel,
)
from transformers.image_processing_base import ImageProcessingMixin

from medvista.errors import UserError
from medvista.settings import GroundConfig, SegmentBackend, SegmentConfig
from medvista.tools.checkpoints import load_whole, pick_device, require_checkpoint
from medvista.tools.detectors import load_detector, require_detector
from medvista.tools.segmenters import lite_medsam
from medvista.tools.segmenters.base import Segmenter
from medvista.tools.segmenters.input_view import InputView
from medvista.tools.segmenters.phrases import ConceptSegmenter, DetectingSegmenter
from medvista.tools.segmenters.places import PlaceSegmenter

CHECKPOINTS: dict[SegmentBackend, str] = {
    "medsam": "wanglab/medsam-vit-base",
    "sam": "facebook/sam-vit-base",
    "sam2": "facebook/sam2.1-hiera-small",
    "sam3": "facebook/sam3",
}
_MODELS: dict[SegmentBackend, Any] = {
    "medsam": SamModel,
    "sam": SamModel,
    "sam2": Sam2Model,
    "sam3": Sam3TrackerModel,
}
_IMAGENET = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
_HALF = ((0.5, 0.5, 0.5), (0.5, 0.5, 0.5))
_NORMALISATION: dict[SegmentBackend, tuple[tuple[float, ...], tuple[float, ...]]] = {
    "sam": _IMAGENET,
    "sam2": _IMAGENET,
    "sam3": _HALF,
}


def reads_text(config: SegmentConfig) -> bool:
    """True where the segmenter of these settings takes phrases."""
    return config.backend == "sam3" or bool(config.detector)


def require_weights(config: SegmentConfig) -> None:
    """Make sure that `load_segmenter` will find what it needs; reads no weights.

    Raises:
        UserError: a package or weights are missing; the message says what to install.
    """
    pick_device(config.device)
    if config.backend == "litemedsam":
        _lite_weights(config)
    else:
        require_checkpoint(_checkpoint(config), download=config.download)
    if config.detector:
        require_detector(_detector_config(config))


def load_segmenter(config: SegmentConfig) -> Segmenter:
    """The segmenter, its weights read.

    Raises:
        UserError: weights are missing, damaged or of another model.
        OSError: transformers cannot load a checkpoint.
    """
    device = pick_device(config.device)
    by_place = _lite_medsam(config, device) if config.backend == "litemedsam" else _sam(config, device)
    segmenter = _reading(config, by_place, device) if config.backend == "sam3" else by_place
    if config.detector:
        return DetectingSegmenter(segmenter, load_detector(_detector_config(config)))
    return segmenter


def _lite_weights(config: SegmentConfig) -> Path:
    weights = Path(config.checkpoint).expanduser() if config.checkpoint else lite_medsam.packaged_weights()
    if weights is None:
        raise UserError(f"the weights of LiteMedSAM are not installed; {lite_medsam.INSTALL}")
    if not weights.is_file():
        raise UserError(f"there is no file of LiteMedSAM weights {weights}; {lite_medsam.INSTALL}")
    return weights


def _lite_medsam(config: SegmentConfig, device: torch.device) -> PlaceSegmenter:
    model: Any = lite_medsam.load_lite_medsam(_lite_weights(config))  # transformers hides the type of `to`
    return PlaceSegmenter(model.to(device), lite_medsam.VIEW, choose=False, cached_images=config.cached_images)


def _sam(config: SegmentConfig, device: torch.device) -> PlaceSegmenter:
    model = _model(_MODELS[config.backend], config)
    view = _view(config, side=int(model.prompt_encoder.input_image_size))
    choose = config.backend != "medsam"
    return PlaceSegmenter(model.to(device), view, choose=choose, cached_images=config.cached_images)


def _reading(config: SegmentConfig, by_place: PlaceSegmenter, device: torch.device) -> ConceptSegmenter:
    model = _model(Sam3Model, config)
    tokenizer = AutoTokenizer.from_pretrained(
        _checkpoint(config), local_files_only=not config.download, trust_remote_code=False
    )
    return ConceptSegmenter(model.to(device), tokenizer, by_place.view, by_place, threshold=config.threshold)


def _detector_config(config: SegmentConfig) -> GroundConfig:
    assert config.detector
    return GroundConfig(
        backend=config.detector,
        checkpoint=config.detector_checkpoint,
        download=config.download,
        device=config.device,
        threshold=config.threshold,
    )


def _checkpoint(config: SegmentConfig) -> str:
    return config.checkpoint or CHECKPOINTS[config.backend]


def _model(model_class: Any, config: SegmentConfig) -> Any:
    return load_whole(model_class, _checkpoint(config), download=config.download)


def _view(config: SegmentConfig, side: int) -> InputView:
    """How the checkpoint sees: MedSAM stretches and scales by the picture's own range, whatever its files say."""
    if config.backend == "medsam":
        return InputView(side=side, stretch=True)
    mean, std = _NORMALISATION[config.backend]
    try:
        local = not config.download
        said, _ = ImageProcessingMixin.get_image_processor_dict(_checkpoint(config), local_files_only=local)
    except OSError:
        said = {}  # a checkpoint without a processor's file: the values of its family
    mean, std = tuple(said.get("image_mean", mean)), tuple(said.get("image_std", std))
    return InputView(side=side, stretch=config.backend != "sam", mean=mean, std=std)
