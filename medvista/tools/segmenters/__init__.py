"""Segmentation models behind one interface: pictures and prompts in, masks out."""

from medvista.tools.segmenters.loading import load_segmenter, reads_text, require_weights
from medvista.tools.segmenters.prompt import Prompt, Segmentation, Segmenter

__all__ = ["Prompt", "Segmentation", "Segmenter", "load_segmenter", "reads_text", "require_weights"]
