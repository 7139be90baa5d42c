"""Optical character recognition with rapidocr, whose weights (PP-OCR, ONNX) come inside its package."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import torch

from medvista.types import Box


@dataclass(frozen=True, slots=True, kw_only=True)
class TextLine:
    """A line of text on a picture."""

    text: str
    box: Box  # x1, y1, x2, y2 around it, pixels of the picture
    confidence: float  # 0-1


class TextReader:
    """Reads printed text in English, Chinese and most languages of Latin script.

    Raises:
        ImportError: rapidocr or onnxruntime is not installed.
    """

    def __init__(self) -> None:
        from rapidocr import RapidOCR

        threads = torch.get_num_threads()  # onnxruntime would take every core, whatever the process was given
        self._engine: Any = RapidOCR(
            params={
                "Global.log_level": "critical",  # it warns of every image without text
                "Global.text_score": 0.0,  # the caller decides
                "EngineConfig.onnxruntime.intra_op_num_threads": threads,
                "EngineConfig.onnxruntime.inter_op_num_threads": 1,
            }
        )
        self._lock = threading.Lock()  # the engine keeps the state of a call on itself

    def read(self, picture: np.ndarray) -> list[TextLine]:
        """The lines of text, in reading order.

        Args:
            picture: display ``[H, W]`` or ``[H, W, 3]`` RGB uint8.
        """
        colour = np.stack([picture] * 3, axis=-1) if picture.ndim == 2 else picture
        with self._lock:
            found = self._engine(np.ascontiguousarray(colour[..., ::-1]))  # it expects OpenCV's BGR
        if found.boxes is None or found.txts is None:
            return []
        height, width = picture.shape[:2]
        return [
            TextLine(text=text, box=_around(corners, width, height), confidence=float(score))
            for corners, text, score in zip(found.boxes, found.txts, found.scores, strict=True)
            if text.strip()
        ]


@lru_cache(maxsize=1)
def shared_reader() -> TextReader:
    """One reader for the whole process: its weights take 60 MB."""
    return TextReader()


def _around(corners: Any, width: int, height: int) -> Box:
    """The box around a quadrilateral, within the picture."""
    x, y = np.asarray(corners, dtype=float).T
    left, right = np.clip([x.min(), x.max()], 0, width)
    top, bottom = np.clip([y.min(), y.max()], 0, height)
    return float(left), float(top), float(right), float(bottom)
