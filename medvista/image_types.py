"""The vocabulary of images: pictures, volumes, and how their grey values are shown. `medvista.types` exports it.

Its conventions are those of `medvista.types`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal, TypeAlias

import numpy as np

Box: TypeAlias = tuple[float, float, float, float]  # x1, y1, x2, y2
Plane: TypeAlias = Literal["axial", "coronal", "sagittal", "frame"]  # frame: of a film or a stack without positions


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """A display window: values ``centre - width/2 .. centre + width/2`` map to black .. white."""

    centre: float
    width: float


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class GreyCurve:
    """A display that no window describes: DICOM's VOI look-up table, or its sigmoid."""

    values: np.ndarray  # [N] uint8, black to white
    first: float  # grey value shown as ``values[0]``; smaller ones are shown like it, as are those beyond the last
    step: float = 1.0  # between entries, in grey values


@dataclass(frozen=True, slots=True, kw_only=True)
class Slice:
    """Which slice of a volume."""

    plane: Plane
    index: int  # from the head, the front or the patient's right; the first frame is 0


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Volume:
    """Voxels that stand so that every slice is shown as it lies in the array, in the radiological convention."""

    voxels: np.ndarray  # [Z, Y, X] grey values, or [Z, Y, X, 3] RGB; to the feet, the back, the patient's left
    spacing_mm: tuple[float, float, float] | None = None  # slice, row, column; 0 between the frames of a film
    to_patient: np.ndarray | None = None  # [4, 4] affine, (x, y, z, 1) voxels -> patient millimetres; None: frames
    window: Window | None = None
    curve: GreyCurve | None = None
    modality: str = "unknown"
    plane: Plane = "axial"  # the one it was acquired in, shown first

    @property
    def planes(self) -> tuple[Plane, ...]:
        """The planes it can be sliced in."""
        return ("frame",) if self.to_patient is None else ("axial", "coronal", "sagittal")


@dataclass(frozen=True, slots=True, kw_only=True, eq=False, weakref_slot=True)
class MedicalImage:
    """An image at its native bit depth, which knows where on its source it was taken.

    Of a volume, "source pixels" are those of one whole slice, the one that `slice` names.
    """

    pixels: np.ndarray  # [H, W] grey values (HU for CT; NaN is missing, as padding is) or [H, W, 3] RGB
    window: Window | None = None  # how to display grey values; None: the full range of an 8-bit image, else min..max
    curve: GreyCurve | None = None  # how to display them where there is no window
    modality: str = "unknown"  # "CT", "MR", "CR", "pathology", ...
    spacing_mm: tuple[float, float] | None = None  # row, column
    source: int = 0  # index of the sample's image this was derived from; its own index in the episode if none is known
    to_source: np.ndarray = field(default_factory=lambda: np.eye(3))  # [3, 3] affine, (x, y, 1) here -> source pixels
    slice: Slice | None = None  # of a volume; None for a picture
    to_patient: np.ndarray | None = None  # [4, 3] affine, (x, y, 1) source pixels -> patient millimetres, where known
    volume: Volume | None = None  # the whole, kept by the sample's own image and by none derived from it

    @property
    def size(self) -> tuple[int, int]:
        """Width and height in pixels."""
        return self.pixels.shape[1], self.pixels.shape[0]
