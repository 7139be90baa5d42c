"""Segmentation models behind one interface: pictures and prompts in, masks out."""

from medvista.tools.segmenters.base import Prompt, Segmentation, Segmenter
from medvista.tools.segmenters.loading import load_segmenter, reads_text, require_weights

__all__ = ["Prompt", "Segmentation", "Segmenter", "load_segmenter", "reads_text", "require_weights"]
