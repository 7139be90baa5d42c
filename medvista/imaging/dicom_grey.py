"""What the grey values of a DICOM image mean, and how it asks to be displayed (PS3.3 C.11.1 and C.11.2)."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from pydicom import Dataset
from pydicom.multival import MultiValue

from medvista.imaging.dicom_pixels import stored_bits, stored_range
from medvista.imaging.dicom_place import of_frame
from medvista.imaging.dicom_table import Table, read_table
from medvista.imaging.display import CT_WINDOW, default_window, label_window, robust_window
from medvista.notices import notice
from medvista.types import GreyCurve, Window


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Grey:
    """Grey values with their display."""

    values: np.ndarray  # [H, W], HU for CT; larger is brighter; NaN is padding
    window: Window | None = None
    curve: GreyCurve | None = None
    turned_within: float = 0.0  # smallest and largest value together, of MONOCHROME1


def grey_values(dataset: Dataset, stored: np.ndarray, padding: np.ndarray | None = None, frame: int = 0) -> Grey:
    """Stored values of a frame as grey values, rescaled and right way round, with their window or curve.

    Integers stay integers where slope is 1 and intercept whole. MONOCHROME1 (small is bright) is turned around within
    the range of its stored values, and its window with it.

    Args:
        dataset: the data set.
        stored: ``[H, W]``.
        padding: ``[H, W]`` bool, pixels that show nothing: missing values, which every tool leaves out.
        frame: its number, in a file of several.
    """
    values, low, high = _rescale(dataset, stored, frame)
    window, curve = _display(dataset, frame, (low, high))
    if window is None and curve is None:
        window = _default(dataset, stored)
    grey = Grey(values=values, window=window, curve=curve)
    if dataset.PhotometricInterpretation == "MONOCHROME1":
        # Floats have no range that is the same for all slices of a series.
        grey = _turned_around(grey, *((0.0, 0.0) if stored.dtype.kind == "f" else (low, high)))
    return grey if padding is None else replace(grey, values=_without(grey.values, padding))


def automatic_window(values: np.ndarray, bits: int, *, of_volume: bool) -> Window | None:
    """The window of grey values that name none; None leaves it to the display.

    Values of 8 bits are shown as they are, with padding among them, too; those of fewer bits would all be dark.

    Args:
        values: grey, ``[H, W]``, or of a volume or a film ``[N, H, W]``.
        bits: how many are stored.
        of_volume: one window is to hold for all slices.
    """
    fewer = bits < 8
    if values.dtype != np.float16 and not (values.dtype == np.uint8 and fewer):
        return robust_window(values) if of_volume else None
    present = values[np.isfinite(values)].astype(np.int16 if fewer else np.uint8)
    robust = robust_window(present) if of_volume and present.size else None
    return robust or label_window(present[None]) or default_window(present)


def _without(values: np.ndarray, padding: np.ndarray) -> np.ndarray:
    """Values with NaN for padding, in floats that hold them all: those of 16 bits are of 8-bit greys, and no others."""
    kind = np.dtype(np.float16) if values.dtype == np.uint8 else np.promote_types(values.dtype, np.float32)
    floats = values.astype(kind)
    floats[padding] = np.nan
    return floats


def _rescale(dataset: Dataset, stored: np.ndarray, frame: int) -> tuple[np.ndarray, float, float]:
    """The values after the modality look-up table or rescale, and the range that they may have."""
    low, high = stored_range(dataset, stored)
    table = _first_table(dataset, "ModalityLUTSequence", (low, high))
    if table is not None:
        bits = max(table.bits, table.declared_bits if table.declared_bits <= 16 else 0)
        return table.look_up(stored).astype(np.uint8 if bits <= 8 else np.uint16), 0.0, 2.0**bits - 1
    slope, intercept = _slope_and_intercept(dataset, frame)
    if slope == 1 and intercept == 0:
        return stored, low, high
    low, high = sorted((low * slope + intercept, high * slope + intercept))
    if slope == 1 and intercept.is_integer() and stored.dtype.kind != "f":
        return _as_integers(stored, lambda wide: wide + int(intercept)), low, high
    return (stored.astype(np.float64) * slope + intercept).astype(np.float32), low, high


def _slope_and_intercept(dataset: Dataset, frame: int) -> tuple[float, float]:
    """Of the linear rescale; 1 and 0 where there is none."""
    slope = of_frame(dataset, frame, "RescaleSlope", "PixelValueTransformationSequence")
    intercept = of_frame(dataset, frame, "RescaleIntercept", "PixelValueTransformationSequence")
    if slope is None and intercept is None:
        return 1.0, 0.0
    if slope is None or intercept is None or float(slope) == 0:
        notice("a rescale of slope 0, or half of one, was read with slope 1 or intercept 0 instead", _file(dataset))
    return float(slope or 1), float(intercept or 0)


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
    return Grey(values=values, window=window, curve=curve, turned_within=low + high)


def _display(dataset: Dataset, frame: int, span: tuple[float, float]) -> tuple[Window | None, GreyCurve | None]:
    table = _first_table(dataset, "VOILUTSequence", span)
    if table is not None:
        return None, _curve(table, dataset)
    centre = _first(of_frame(dataset, frame, "WindowCenter", "FrameVOILUTSequence"))
    width = _first(of_frame(dataset, frame, "WindowWidth", "FrameVOILUTSequence"))
    if centre is None or width is None or not math.isfinite(centre) or not width > 0:
        return None, None
    function = of_frame(dataset, frame, "VOILUTFunction", "FrameVOILUTSequence")
    if str(function or "").upper() == "SIGMOID":
        return None, _sigmoid(centre, width)
    return Window(centre=centre, width=width), None


def _first_table(dataset: Dataset, sequence: str, span: tuple[float, float]) -> Table | None:
    for item in (dataset.get(sequence) or ())[:1]:
        return read_table(dataset, item.get("LUTDescriptor"), item.get("LUTData"), span)
    return None


def _curve(table: Table, dataset: Dataset) -> GreyCurve:
    """A VOI look-up table in 8 bits, of the bits that its entries use: descriptors often say how they are stored."""
    if table.bits != table.declared_bits:
        notice("a VOI look-up table was shown by the depth of its entries, as another one is declared", _file(dataset))
    shown = table.entries.astype(np.float64) * 255 / (2**table.bits - 1)
    return GreyCurve(values=np.rint(shown).astype(np.uint8), first=float(table.first))


def _sigmoid(centre: float, width: float, entries: int = 2048) -> GreyCurve:
    """PS3.3 C.11.2.1.3.1, sampled as far as it changes in 8 bits."""
    reach = 2 * width
    inputs = np.linspace(centre - reach, centre + reach, entries)
    outputs = 255 / (1 + np.exp(-4 * (inputs - centre) / width))
    return GreyCurve(values=np.rint(outputs).astype(np.uint8), first=centre - reach, step=2 * reach / (entries - 1))


def _default(dataset: Dataset, stored: np.ndarray) -> Window | None:
    if dataset.get("BitsAllocated") == 1:
        return Window(centre=0.5, width=1.0)
    deep = stored.dtype.kind == "f" or stored_bits(dataset) > 8
    return CT_WINDOW if dataset.get("Modality") == "CT" and deep else None


def _first(value: object) -> float | None:
    if isinstance(value, MultiValue | list | tuple):
        value = value[0] if len(value) else None
    return None if value is None or value == "" else float(str(value))


def _file(dataset: Dataset) -> str:
    return str(getattr(dataset, "filename", "a data set"))
