"""What the grey values of a DICOM image mean, and how it asks to be displayed (PS3.3 C.11.1 and C.11.2)."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from pydicom import Dataset
from pydicom.multival import MultiValue
from pydicom.pixels import apply_modality_lut, apply_voi

from medvista.imaging.dicom_place import of_frame
from medvista.imaging.display import CT_WINDOW
from medvista.types import GreyCurve, Window


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Grey:
    """Grey values with their display."""

    values: np.ndarray  # [H, W], HU for CT; larger is brighter
    window: Window | None = None
    curve: GreyCurve | None = None


def grey_values(dataset: Dataset, stored: np.ndarray, frame: int = 0) -> Grey:
    """Stored values ``[H, W]`` of a frame as grey values, rescaled and right way round, with their window or curve.

    Integers stay integers where slope is 1 and intercept whole. MONOCHROME1 (small is bright) is turned around within
    the range of its stored values, and its window with it.
    """
    values, low, high = _rescale(dataset, stored, frame)
    window, curve = _display(dataset, frame)
    if window is None and curve is None:
        window = _default(dataset)
    grey = Grey(values=values, window=window, curve=curve)
    return _turned_around(grey, low, high) if dataset.PhotometricInterpretation == "MONOCHROME1" else grey


def _rescale(dataset: Dataset, stored: np.ndarray, frame: int) -> tuple[np.ndarray, float, float]:
    """The values after the modality look-up table or rescale, and the range that they may have."""
    if dataset.get("ModalityLUTSequence"):
        values = apply_modality_lut(stored, dataset)
        return values, 0.0, float(2 ** dataset.ModalityLUTSequence[0].LUTDescriptor[2] - 1)
    low, high = _stored_range(dataset, stored)
    slope = of_frame(dataset, frame, "RescaleSlope", "PixelValueTransformationSequence")
    intercept = of_frame(dataset, frame, "RescaleIntercept", "PixelValueTransformationSequence")
    if slope is None or intercept is None or (slope == 1 and intercept == 0):
        return stored, low, high
    low, high = sorted((low * float(slope) + float(intercept), high * float(slope) + float(intercept)))
    if slope == 1 and float(intercept).is_integer():
        return _as_integers(stored, lambda wide: wide + int(intercept)), low, high
    return (stored.astype(np.float64) * float(slope) + float(intercept)).astype(np.float32), low, high


def _stored_range(dataset: Dataset, stored: np.ndarray) -> tuple[float, float]:
    if stored.dtype.kind == "f":
        return float(np.nanmin(stored)), float(np.nanmax(stored))
    bits = int(dataset.BitsStored)
    if dataset.get("PixelRepresentation", 0):
        return -(2.0 ** (bits - 1)), 2.0 ** (bits - 1) - 1
    return 0.0, 2.0**bits - 1


def _as_integers(stored: np.ndarray, change: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
    """The changed integers in the narrowest usual type that holds them; 8 bits only where they had 8."""
    wide = change(stored.astype(np.int64))
    usual = (np.uint8, np.int16, np.uint16, np.int32) if stored.dtype == np.uint8 else (np.int16, np.uint16, np.int32)
    for kind in usual:
        if np.iinfo(kind).min <= wide.min() and wide.max() <= np.iinfo(kind).max:
            return wide.astype(kind)
    return wide.astype(np.float32)


def _turned_around(grey: Grey, low: float, high: float) -> Grey:
    """Small becomes large, within the range from `low` to `high`."""
    values, window, curve = grey.values, grey.window, grey.curve
    if values.dtype.kind == "f":
        values = (low + high - values).astype(values.dtype)
    else:
        values = _as_integers(values, lambda wide: int(low + high) - wide)
    if window is not None:
        window = replace(window, centre=low + high - window.centre)
    if curve is not None:
        last = curve.first + (len(curve.values) - 1) * curve.step
        # The table is that of the values as stored, whose brightest is to be shown black.
        curve = replace(curve, values=255 - curve.values[::-1], first=low + high - last)
    return Grey(values=values, window=window, curve=curve)


def _display(dataset: Dataset, frame: int) -> tuple[Window | None, GreyCurve | None]:
    if dataset.get("VOILUTSequence"):
        return None, _table(dataset)
    centre = _first(of_frame(dataset, frame, "WindowCenter", "FrameVOILUTSequence"))
    width = _first(of_frame(dataset, frame, "WindowWidth", "FrameVOILUTSequence"))
    if centre is None or width is None or not math.isfinite(centre) or not width > 0:
        return None, None
    function = of_frame(dataset, frame, "VOILUTFunction", "FrameVOILUTSequence")
    if str(function or "").upper() == "SIGMOID":
        return None, _sigmoid(centre, width)
    return Window(centre=centre, width=width), None


def _table(dataset: Dataset) -> GreyCurve:
    """The first VOI look-up table, as pydicom reads it, in 8 bits."""
    count, first, bits = dataset.VOILUTSequence[0].LUTDescriptor
    inputs = np.arange(int(first), int(first) + (int(count) or 2**16), dtype=np.int64)
    outputs = apply_voi(inputs, dataset).astype(np.float64) * 255 / (2 ** int(bits) - 1)
    return GreyCurve(values=np.rint(np.clip(outputs, 0, 255)).astype(np.uint8), first=float(first))


def _sigmoid(centre: float, width: float, entries: int = 2048) -> GreyCurve:
    """PS3.3 C.11.2.1.3.1, sampled as far as it changes in 8 bits."""
    reach = 2 * width
    inputs = np.linspace(centre - reach, centre + reach, entries)
    outputs = 255 / (1 + np.exp(-4 * (inputs - centre) / width))
    return GreyCurve(values=np.rint(outputs).astype(np.uint8), first=centre - reach, step=2 * reach / (entries - 1))


def _default(dataset: Dataset) -> Window | None:
    if dataset.get("BitsAllocated") == 1:
        return Window(centre=0.5, width=1.0)
    return CT_WINDOW if dataset.get("Modality") == "CT" and int(dataset.BitsStored) > 8 else None


def _first(value: object) -> float | None:
    if isinstance(value, MultiValue | list | tuple):
        value = value[0] if len(value) else None
    return None if value is None or value == "" else float(str(value))
