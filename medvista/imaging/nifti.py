"""NIfTI files to `MedicalImage`, through nibabel."""

from __future__ import annotations

import gzip
import io
import math
import warnings
from pathlib import Path
from typing import Any

import nibabel
import numpy as np

from medvista.errors import UserError
from medvista.imaging.display import CT_WINDOW, robust_window
from medvista.imaging.limits import refuse_too_large
from medvista.imaging.stack import StackError, spacing_of, stand_upright
from medvista.imaging.transparency import on_white
from medvista.imaging.volume import first_slice
from medvista.notices import notice
from medvista.types import MedicalImage, Plane, Volume, Window

_TO_LEFT_BACK = np.diag([-1.0, -1.0, 1.0, 1.0])  # NIfTI's millimetres run to the right and the front
_MILLIMETRES = {"meter": 1000.0, "micron": 0.001}
_COLOURS = (0, 1007, 2003, 2004)  # intents of a voxel with 3 or 4 bytes: none said, a vector, RGB, RGBA
# Bytes for each voxel while it is read, as tests/security/test_memory.py measures them.
_PEAK_COPIES, _PEAK_SCALED = 4, 17
_THICK = 1.5  # times the finer sides: then slices were acquired along that axis


class OrientationWarning(UserWarning):
    """A file does not say how its voxels lie in the patient."""


def read_nifti(path: Path, modality: str = "unknown") -> MedicalImage:
    """Read a volume from a ``.nii`` or ``.nii.gz`` file, in the nearest upright orientation; its middle is shown first.

    Args:
        path: the file.
        modality: recorded with the volume, as the format does not say; ``"CT"`` says that values are HU.

    Raises:
        UserError: the file is damaged, too large, has no finite value, or more than three dimensions.
    """
    try:
        with _open(path) as stream:
            image = _header(path, stream)
            voxels, affine = np.asanyarray(image.dataobj), _affine(path, image.header)
    except UserError:
        raise
    except Exception as error:  # truncated, or a header that makes no sense: nibabel has many errors for these
        reason = " ".join(str(error).split())[:200]
        raise UserError(f"{path} is damaged and cannot be read ({reason}); replace the file.") from None
    voxels = _native(path, voxels.reshape(voxels.shape + (1,) * (3 - voxels.ndim)))
    try:
        upright, to_patient, _ = stand_upright(np.moveaxis(voxels, (0, 1, 2), (2, 1, 0)), affine)
    except StackError as error:
        raise UserError(f"{path} cannot be shown: {error}.") from None
    spacing = spacing_of(to_patient)
    volume = Volume(
        voxels=upright,
        spacing_mm=spacing,
        to_patient=to_patient,
        window=_window(image, upright, modality),
        modality=modality,
        plane=_acquired(spacing),
    )
    return first_slice(volume)


def _open(path: Path) -> io.BufferedIOBase:
    with path.open("rb") as file:
        compressed = file.read(2) == b"\x1f\x8b"
    return gzip.open(path) if compressed else path.open("rb")


def _header(path: Path, stream: io.BufferedIOBase) -> Any:
    """The image, its voxels not yet read; its size is looked at first."""
    start = stream.read(4)
    stream.seek(0)
    second = 540 in (int.from_bytes(start, "little"), int.from_bytes(start, "big"))
    image: Any = (nibabel.Nifti2Image if second else nibabel.Nifti1Image).from_stream(stream)
    shape = image.shape
    while len(shape) > 3 and shape[-1] == 1:
        shape = shape[:-1]
    colours = 1
    if _is_colour(image, shape):
        shape, colours = shape[:3], shape[4]
    if len(shape) > 3:
        raise UserError(
            f"{path} holds {math.prod(shape[3:])} volumes; write the one you mean as a file (nibabel.four_to_three)."
        )
    if 0 in shape:
        raise UserError(f"{path} holds no voxels: its shape is {shape}.")
    x, y, z = (*shape, 1, 1)[:3]
    scaled = image.dataobj.slope != 1 or image.dataobj.inter != 0
    itemsize = image.get_data_dtype().itemsize
    peak = colours * (_PEAK_SCALED if scaled else _PEAK_COPIES * itemsize)
    refuse_too_large(path, (z, y, x), colours * (8 if scaled else itemsize), peak)
    return image


def _is_colour(image: Any, shape: tuple[int, ...]) -> bool:
    """Whether the fifth dimension, that of vectors, holds the bytes of RGB or RGBA; the fourth would be time."""
    bytes_behind = len(shape) == 5 and shape[3] == 1 and shape[4] in (3, 4) and image.get_data_dtype() == np.uint8
    return bytes_behind and int(image.header["intent_code"]) in _COLOURS


def _native(path: Path, voxels: np.ndarray) -> np.ndarray:
    """Voxels ``[X, Y, Z]`` in a type the rest knows: native byte order, 32 bits at most, RGB behind.

    Args:
        path: the file.
        voxels: ``[X, Y, Z, ...]``, of which more than three dimensions hold one value, or the colours in the last.
    """
    if voxels.dtype.names is not None:
        return _colour(path, np.stack([voxels[name] for name in voxels.dtype.names], axis=-1))
    if math.prod(voxels.shape[3:]) > 1:
        return _colour(path, voxels)
    voxels = voxels.reshape(voxels.shape[:3])
    if voxels.dtype.kind not in "biuf":
        raise UserError(f"{path} holds values of type {voxels.dtype}; write real numbers.")
    if voxels.dtype.kind == "f":
        if not np.isfinite(voxels).any():
            raise UserError(f"{path} holds no finite value: nothing of it can be shown.")
        return _whole_numbers(voxels)
    if voxels.dtype.itemsize == 8:
        fits = np.iinfo(np.int32).min <= voxels.min() and voxels.max() <= np.iinfo(np.int32).max
        return voxels.astype(np.int32 if fits else np.float32)
    return voxels.astype(voxels.dtype.newbyteorder("="))


def _colour(path: Path, voxels: np.ndarray) -> np.ndarray:
    """RGB ``[X, Y, Z, 3]`` of RGB or RGBA ``[X, Y, Z, ..., 3 or 4]``, on white."""
    voxels = voxels.reshape(*voxels.shape[:3], voxels.shape[-1]).astype(np.uint8)
    colour, alpha = voxels[..., :3], voxels[..., 3:]
    if not alpha.size or alpha.min() == 255:
        return colour
    notice("transparent pictures were shown on white", str(path))
    return on_white(colour, alpha[..., 0])


def _whole_numbers(voxels: np.ndarray) -> np.ndarray:
    """Floats as float32; as int16 where they are whole, as a CT is whose file has an intercept."""
    if np.isfinite(voxels).all() and np.abs(voxels).max() < 2**15 and (voxels == np.rint(voxels)).all():
        return voxels.astype(np.int16)
    return voxels.astype(np.float32)


def _affine(path: Path, header: Any) -> np.ndarray:
    """From the middles of voxels to patient millimetres, left, back, head."""
    if header["qform_code"] == 0 and header["sform_code"] == 0:
        warnings.warn(
            f"{path} does not say how it lies in the patient; its left and right may be swapped.",
            OrientationWarning,
            stacklevel=5,
        )
    affine = header.get_best_affine()
    if header["sform_code"] > 0 and header["qform_code"] > 0 and not _has_inverse(affine):
        affine = header.get_qform()
        notice("the sform has no inverse, so the qform says how the voxels lie", str(path))
    unit = _MILLIMETRES.get(header.get_xyzt_units()[0], 1.0)
    return _TO_LEFT_BACK @ np.diag([unit, unit, unit, 1.0]) @ affine


def _has_inverse(affine: np.ndarray) -> bool:
    """Whether three axes of some length span space."""
    lengths = np.linalg.norm(affine[:3, :3], axis=0)
    if not np.isfinite(affine).all() or lengths.min() == 0:
        return False
    return bool(abs(np.linalg.det(affine[:3, :3] / lengths)) > 1e-6)


def _window(image: Any, voxels: np.ndarray, modality: str) -> Window | None:
    low, high = float(image.header["cal_min"]), float(image.header["cal_max"])
    if np.isfinite([low, high]).all() and high > low:
        return Window(centre=(low + high) / 2, width=high - low)
    if voxels.ndim == 4:
        return None
    in_units = modality == "CT" and voxels.dtype != np.uint8  # air, at -1000, needs more bits
    return CT_WINDOW if in_units else robust_window(voxels)


def _acquired(spacing: tuple[float, float, float]) -> Plane:
    """The plane whose slices are thick, else axial."""
    planes: tuple[Plane, ...] = ("axial", "coronal", "sagittal")
    thickest = int(np.argmax(spacing))
    finest = sorted(spacing)[1]
    return planes[thickest] if spacing[thickest] > _THICK * finest else "axial"
