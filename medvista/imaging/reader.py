"""Files to `MedicalImage`, at their native bit depth: what a file is, its content says."""

from __future__ import annotations

import gzip
import threading
import zlib
from collections import OrderedDict
from pathlib import Path
from typing import Literal, TypeAlias

from medvista.errors import UserError
from medvista.imaging.dicom import read_dicom, read_series
from medvista.imaging.dicom_file import is_dicom
from medvista.imaging.nifti import read_nifti
from medvista.imaging.pictures import read_picture
from medvista.types import MedicalImage

CACHE_BYTES = 512 * 2**20

Format: TypeAlias = Literal["dicom", "nifti", "picture"]

_NIFTI_SIZES = (348, 540)  # of the headers of NIfTI-1 and NIfTI-2, their first field
_HEAD = 352  # bytes, to the end of NIfTI-1's magic


def open_image(image: MedicalImage | Path) -> MedicalImage:
    """The image itself, or the file read; files read lately are kept in memory, read-only.

    Raises:
        UserError: the file is missing or cannot be decoded.
    """
    return image if isinstance(image, MedicalImage) else _cache.get(Path(image))


def read_image(path: Path, modality: str = "unknown") -> MedicalImage:
    """Read a PNG, JPEG, TIFF, DICOM or NIfTI file, or a folder with one DICOM series.

    Of a volume or a film, the result is its middle slice, with the whole in ``volume``.

    Args:
        path: the file or folder.
        modality: recorded with the image where its format does not say.

    Raises:
        UserError: the file is missing, damaged, of another kind, or too large to decode safely.
    """
    path = Path(path)
    if path.is_dir():
        return read_series(path)
    if not path.is_file():
        raise UserError(f"There is no image file {path}; check the path and the data root.")
    match file_format(path):
        case "dicom":
            return read_dicom(path)
        case "nifti":
            return read_nifti(path, modality)
        case "picture":
            return read_picture(path, modality)


def file_format(path: Path) -> Format:
    """What a file is, by its first bytes; by its name where these say nothing."""
    head = _head(path)
    if is_dicom(head):
        return "dicom"
    size = {int.from_bytes(head[:4], "little"), int.from_bytes(head[:4], "big")}
    if size.intersection(_NIFTI_SIZES) and b"n" in head[4:8] + head[344:348]:
        return "nifti"
    suffixes = path.name.lower()
    if suffixes.endswith((".nii", ".nii.gz")):
        return "nifti"
    return "dicom" if suffixes.endswith((".dcm", ".dicom", ".ima")) else "picture"


def _head(path: Path) -> bytes:
    with path.open("rb") as file:
        head = file.read(_HEAD)
    if head[:2] != b"\x1f\x8b":
        return head
    try:
        with gzip.open(path) as stream:
            return stream.read(_HEAD)
    except (OSError, EOFError, zlib.error):
        return head


class _ImageCache:
    """Least recently used files, bounded by their bytes and safe between threads."""

    def __init__(self, limit_bytes: int) -> None:
        self._limit = limit_bytes
        self._images: OrderedDict[tuple[Path, int], MedicalImage] = OrderedDict()
        self._bytes = 0
        self._lock = threading.Lock()

    def get(self, path: Path) -> MedicalImage:
        key = (path, path.stat().st_mtime_ns if path.exists() else 0)
        with self._lock:
            if key in self._images:
                self._images.move_to_end(key)
                return self._images[key]
        image = read_image(path)  # outside the lock, so that threads decode side by side
        _freeze(image)  # shared between episodes
        with self._lock:
            if key not in self._images:
                self._images[key] = image
                self._bytes += _size(image)
            while self._bytes > self._limit and len(self._images) > 1:
                self._bytes -= _size(self._images.popitem(last=False)[1])
        return image


def _size(image: MedicalImage) -> int:
    return image.pixels.nbytes if image.volume is None else image.volume.voxels.nbytes


def _freeze(image: MedicalImage) -> None:
    image.pixels.flags.writeable = False
    if image.volume is not None:
        image.volume.voxels.flags.writeable = False


_cache = _ImageCache(CACHE_BYTES)
