"""Slices that know where they lie, put together to voxels that stand upright.

Coordinates of the patient are DICOM's: millimetres to the left, the back and the head.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from nibabel.affines import voxel_sizes
from nibabel.orientations import apply_orientation, inv_ornt_aff, io_orientation

from medvista.types import Plane

_TILT_DEGREES = 0.5  # more is a gantry tilt, not rounding
_UNEVEN = 0.1  # of the step between slices, that a slice may lie off the even grid

Upright: TypeAlias = tuple[np.ndarray, np.ndarray, Plane]


class StackError(ValueError):
    """Slices that make no volume; the message says which and why."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Placed:
    """How a slice lies in the patient."""

    position: np.ndarray  # [3] millimetres, of the middle of its first pixel
    across: np.ndarray  # [3] unit vector along a row
    down: np.ndarray  # [3] unit vector along a column
    spacing_mm: tuple[float, float]  # row, column

    @property
    def normal(self) -> np.ndarray:
        """Unit vector ``[3]`` through the slices."""
        return np.cross(self.across, self.down)

    @property
    def to_patient(self) -> np.ndarray:
        """Affine ``[4, 3]`` from pixels ``(x, y, 1)``, origin at the corner of the first, to patient millimetres."""
        x, y = self.across * self.spacing_mm[1], self.down * self.spacing_mm[0]
        return np.column_stack([[*x, 0], [*y, 0], [*(self.position - x / 2 - y / 2), 1]])


def sort_slices(slices: Sequence[Placed]) -> tuple[list[int], np.ndarray]:
    """The order of slices along their normal, and the affine ``[4, 4]`` from (column, row, slice) to the patient.

    The affine is of the middles of voxels, as those of DICOM and NIfTI are.

    Raises:
        StackError: fewer than two, of different orientation or spacing, tilted, at the same place, or with gaps.
    """
    first = slices[0]
    if len(slices) < 2:
        raise StackError("there is only one slice")
    for other in slices:
        turned = max(np.abs(other.across - first.across).max(), np.abs(other.down - first.down).max())
        if turned > 1e-3 or not np.allclose(other.spacing_mm, first.spacing_mm, rtol=1e-3):
            raise StackError("its slices differ in orientation or pixel spacing; keep those of one direction")
    positions = np.array([placed.position for placed in slices])
    order = np.argsort(positions @ first.normal, kind="stable")
    positions = positions[order]
    depths = positions @ first.normal
    step = _even_step(depths)
    _refuse_tilt(positions[-1] - positions[0], first.normal)
    affine = np.eye(4)
    affine[:3, 0] = first.across * first.spacing_mm[1]
    affine[:3, 1] = first.down * first.spacing_mm[0]
    affine[:3, 2] = first.normal * step
    affine[:3, 3] = positions[0]
    return order.tolist(), affine


def _even_step(depths: np.ndarray) -> float:
    gaps = np.diff(depths)
    if gaps.min() < 1e-3:
        at = int(gaps.argmin())
        raise StackError(f"slices {at} and {at + 1} lie at the same place; keep one moment or contrast")
    step = float(depths[-1] - depths[0]) / (len(depths) - 1)
    even = depths[0] + step * np.arange(len(depths))
    if np.abs(depths - even).max() > _UNEVEN * step:
        worst = int(np.abs(gaps - np.median(gaps)).argmax())
        raise StackError(
            f"slices {worst} and {worst + 1} are {gaps[worst]:.2f} mm apart, others {np.median(gaps):.2f} mm; "
            "give the series without gaps"
        )
    return step


def _refuse_tilt(through: np.ndarray, normal: np.ndarray) -> None:
    cosine = abs(float(through @ normal)) / float(np.linalg.norm(through))
    tilt = float(np.degrees(np.arccos(min(cosine, 1.0))))
    if tilt > _TILT_DEGREES:
        raise StackError(
            f"its slices are shifted sideways, by a tilt of {tilt:.1f} degrees; resample it to straight ones"
        )


def stand_upright(voxels: np.ndarray, to_patient: np.ndarray) -> Upright:
    """Voxels turned and mirrored, none computed, so that they run to the feet, the back and the left of the patient.

    Args:
        voxels: ``[slices, rows, columns]``, or with ``3`` for RGB behind.
        to_patient: affine ``[4, 4]`` from the middles of voxels (column, row, slice) to patient millimetres.

    Returns:
        voxels ``[Z, Y, X]``, contiguous; the affine ``[4, 4]`` from ``(x, y, z)``, origin at the corner of the first
        voxel, to patient millimetres; and the plane the slices lie in.

    Raises:
        StackError: the affine has no inverse, or its axes are not at right angles.
    """
    _refuse_sheared(to_patient)
    to_left_back_feet = np.diag([1.0, 1.0, -1.0, 1.0]) @ to_patient
    turn = io_orientation(to_left_back_feet)
    by_column = np.moveaxis(voxels, (0, 1, 2), (2, 1, 0))
    upright = np.moveaxis(apply_orientation(by_column, turn), (0, 1, 2), (2, 1, 0))
    affine = to_patient @ inv_ornt_aff(turn, by_column.shape[:3])
    corner = np.eye(4)
    corner[:3, 3] = -0.5
    planes: tuple[Plane, ...] = ("sagittal", "coronal", "axial")
    return np.ascontiguousarray(upright), affine @ corner, planes[int(turn[2, 0])]


def spacing_of(to_patient: np.ndarray) -> tuple[float, float, float]:
    """Millimetres between slices, rows and columns of an affine from (x, y, z)."""
    x, y, z = (float(size) for size in voxel_sizes(to_patient))
    return z, y, x


def _refuse_sheared(to_patient: np.ndarray) -> None:
    sizes = voxel_sizes(to_patient)
    if not np.isfinite(to_patient).all() or sizes.min() <= 0:
        raise StackError("its affine has no inverse; write it again with a valid one")
    axes = to_patient[:3, :3] / sizes
    skew = np.degrees(np.arcsin(min(np.abs(axes.T @ axes - np.eye(3)).max(), 1.0)))
    if skew > _TILT_DEGREES:
        raise StackError(f"its axes are {90 - skew:.1f} degrees apart, not 90; resample it to straight ones")
