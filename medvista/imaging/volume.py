"""Slices of a volume, and from any image back to the voxels and the patient.

Voxels are ``[Z, Y, X]``, to the feet, the back and the left of the patient. Every slice is then shown as it lies in
the array, in the radiological convention: axial seen from the feet, with the front up; coronal seen from the front,
with the head up; the patient's right on the left of both; sagittal seen from the left, with the front on the left and
the head up.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import TypeAlias

import numpy as np
from numpy.typing import ArrayLike

from medvista.imaging.geometry import map_box
from medvista.types import MedicalImage, Plane, Slice, Volume

Box3D: TypeAlias = tuple[float, float, float, float, float, float]  # x1, y1, z1, x2, y2, z2 in voxels

_AXES: dict[Plane, int] = {"axial": 0, "frame": 0, "coronal": 1, "sagittal": 2}  # of the array, that the index counts
_ACROSS_DOWN: dict[Plane, tuple[int, int]] = {  # of (x, y, z), that the slice's own x and y run along
    "axial": (0, 1),
    "frame": (0, 1),
    "coronal": (0, 2),
    "sagittal": (1, 2),
}
_STATED_DEGREES = 1.0  # smaller angles change nothing that is said about a slice


def slice_count(volume: Volume, plane: Plane) -> int:
    """How many slices the volume has in a plane."""
    return volume.voxels.shape[_AXES[plane]]


def take_slice(volume: Volume, where: Slice) -> MedicalImage:
    """One slice at native resolution; its pixels are a view of the voxels.

    Args:
        volume: the volume.
        where: one of its planes, and an index that exists.
    """
    axis = _AXES[where.plane]
    spacing = None
    if volume.spacing_mm is not None:
        down, across = (step for position, step in enumerate(volume.spacing_mm) if position != axis)
        spacing = down, across
    return MedicalImage(
        pixels=np.moveaxis(volume.voxels, axis, 0)[where.index],
        window=volume.window,
        curve=volume.curve,
        modality=volume.modality,
        spacing_mm=spacing,
        slice=where,
        to_patient=None if volume.to_patient is None else volume.to_patient @ slice_to_voxels(where),
    )


def first_slice(volume: Volume) -> MedicalImage:
    """What is shown of a volume at first: the middle slice of the plane it was acquired in, with the volume itself."""
    middle = Slice(plane=volume.plane, index=slice_count(volume, volume.plane) // 2)
    return replace(take_slice(volume, middle), volume=volume)


def source_image(images: Sequence[MedicalImage], image: MedicalImage) -> MedicalImage:
    """The image that `image` was derived from, whole and at native resolution: a picture, or one slice of a volume.

    Args:
        images: those of the episode, the sample's own first.
        image: any of them, or one derived from them.
    """
    source = images[image.source]
    if source.volume is None or image.slice is None or image.slice == source.slice:
        return source
    return replace(take_slice(source.volume, image.slice), window=source.window, source=image.source)


def describe_slice(volume: Volume, where: Slice) -> str:
    """The slice in words, and how far its plane is from the patient's own.

    >>> volume = Volume(voxels=np.zeros((25, 41, 33)), to_patient=np.diag([2, 2, -2, 1]))
    >>> describe_slice(volume, Slice(plane="axial", index=3))
    'axial slice 3 of 0 to 24'
    """
    return f"{_named(where)} of 0 to {slice_count(volume, where.plane) - 1}{_oblique(volume)}"


def describe_volume(volume: Volume, shown: Slice) -> str:
    """What of a volume is shown and what else there is to see, in words.

    >>> volume = Volume(voxels=np.zeros((25, 41, 33)), to_patient=np.diag([2, 2, -2, 1]))
    >>> describe_volume(volume, Slice(plane="axial", index=3))
    'axial slice 3 of a volume with axial slices 0 to 24, coronal slices 0 to 40, sagittal slices 0 to 32'
    """
    if volume.planes == ("frame",):
        return f"{_named(shown)} of a film with frames 0 to {slice_count(volume, 'frame') - 1}"
    counts = ", ".join(f"{plane} slices 0 to {slice_count(volume, plane) - 1}" for plane in volume.planes)
    return f"{_named(shown)} of a volume with {counts}{_oblique(volume)}"


def _named(where: Slice) -> str:
    return f"frame {where.index}" if where.plane == "frame" else f"{where.plane} slice {where.index}"


def _oblique(volume: Volume) -> str:
    degrees = obliqueness(volume)
    return f", oblique by {degrees:.0f} degrees" if degrees >= _STATED_DEGREES else ""


def obliqueness(volume: Volume) -> float:
    """The largest angle, in degrees, between an edge of the voxels and the patient's axis next to it; 0 for frames."""
    if volume.to_patient is None:
        return 0.0
    edges = volume.to_patient[:3, :3] / np.linalg.norm(volume.to_patient[:3, :3], axis=0)
    cosines = edges.diagonal() * (1, 1, -1)  # rows of voxels count to the feet, millimetres to the head
    return float(np.degrees(np.arccos(np.clip(cosines, -1, 1))).max())


def slice_to_voxels(where: Slice) -> np.ndarray:
    """Affine ``[4, 3]`` from pixels ``(x, y, 1)`` of a slice to voxels ``(x, y, z, 1)``, in the middle of its depth."""
    across, down = _ACROSS_DOWN[where.plane]
    affine = np.zeros((4, 3))
    affine[across, 0] = affine[down, 1] = affine[3, 2] = 1.0
    affine[_depth(where.plane), 2] = where.index + 0.5
    return affine


def box_to_voxels(image: MedicalImage, box: Sequence[float]) -> Box3D:
    """A box in pixels of an image, as the box of voxels around it: one slice deep.

    Raises:
        ValueError: the image is not of a volume.

    >>> image = MedicalImage(pixels=np.zeros((4, 4)), slice=Slice(plane="coronal", index=7))
    >>> box_to_voxels(image, (0, 1, 2, 3))
    (0.0, 7.0, 1.0, 2.0, 8.0, 3.0)
    """
    if image.slice is None:
        raise ValueError("The image is a picture, not a slice of a volume: it has no voxels.")
    x1, y1, x2, y2 = map_box(image.to_source, box)
    low, high = [0.0] * 3, [0.0] * 3
    for axis, start, end in zip(_ACROSS_DOWN[image.slice.plane], (x1, y1), (x2, y2), strict=True):
        low[axis], high[axis] = start, end
    depth = _depth(image.slice.plane)
    low[depth], high[depth] = float(image.slice.index), float(image.slice.index + 1)
    return low[0], low[1], low[2], high[0], high[1], high[2]


def points_to_voxels(image: MedicalImage, points: ArrayLike) -> np.ndarray:
    """Points ``[N, 2]`` in pixels of an image, as voxels ``[N, 3]`` (x, y, z) of its volume.

    Raises:
        ValueError: the image is not of a volume.
    """
    if image.slice is None:
        raise ValueError("The image is a picture, not a slice of a volume: it has no voxels.")
    return _apply(slice_to_voxels(image.slice) @ image.to_source, points)


def points_to_patient(image: MedicalImage, points: ArrayLike) -> np.ndarray | None:
    """Points ``[N, 2]`` in pixels of an image, as millimetres ``[N, 3]`` to the patient's left, back and head.

    None where the file did not say how the image lies in the patient.
    """
    return None if image.to_patient is None else _apply(image.to_patient @ image.to_source, points)


def position(voxel: Sequence[float], plane: Plane) -> int:
    """Index of the slice of a plane in which a point (x, y, z) of voxels lies; it may lie outside of the volume."""
    return math.floor(voxel[_depth(plane)])


def _depth(plane: Plane) -> int:
    """Which of (x, y, z) runs through the slices of a plane."""
    return 3 - sum(_ACROSS_DOWN[plane])


def _apply(affine: np.ndarray, points: ArrayLike) -> np.ndarray:
    points = np.asarray(points, dtype=float).reshape(-1, 2)
    homogeneous = np.column_stack([points, np.ones(len(points))])
    return (homogeneous @ affine.T)[:, :3]
