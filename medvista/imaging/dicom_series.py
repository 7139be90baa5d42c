"""Which files of a folder are the slices of its one series, and which are left out of it, and why."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from pydicom import Dataset

from medvista.errors import UserError
from medvista.imaging.dicom_file import is_dicom, read_dataset, reading
from medvista.imaging.dicom_place import placed
from medvista.notices import notice

NO_IMAGE = "files that hold no DICOM image, or are cut off before it, were left out of a series"
LOCALIZER = "localizers were left out of a series"

_DIRECTORY = "1.2.840.10008.1.3.10"  # a DICOMDIR
_NAMES = (".dcm", ".dicom", ".ima")  # of what is taken for a DICOM file whatever it begins with
_NAMED = 3  # files in a message
_MAJORITY = 0.75  # of the images of a series that lie alike: then the others show where these are
_ALIKE = 0.94  # cosine of 20 degrees, between the normals of slices; localizers lie at right angles


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Series:
    """The images of a folder, all of one series, without their pixels."""

    headers: dict[Path, Dataset]
    left_out: dict[Path, str]  # with the reason

    def remark(self) -> str:
        """What a message about the series should add: a slice that was left out makes a gap."""
        if not self.left_out:
            return ""
        names = ", ".join(path.name for path in list(self.left_out)[:_NAMED])
        return f" Of its files, {len(self.left_out)} held no slice and did not count ({names})."


def find_series(folder: Path) -> Series:
    """The one series in a folder; what is left out of it is counted (`notice`).

    Files that hold no image are left out (texts, reports, contours, a DICOMDIR, damaged headers), and localizers,
    which lie across the slices.

    Raises:
        UserError: there is no image, or there are images of several series, or files of several frames.
    """
    headers: dict[Path, Dataset] = {}
    left_out: dict[Path, str] = {}
    for path in sorted(folder.iterdir()):
        if not path.is_file() or path.name.startswith("."):
            continue
        header = _image_header(path)
        if header is None:
            left_out[path] = NO_IMAGE
        else:
            headers[path] = header
    _refuse_several(folder, list(headers.values()))
    for path in _localizers(headers):
        del headers[path]
        left_out[path] = LOCALIZER
    if len(headers) > 1:
        _refuse_frames(headers)
    for path, reason in left_out.items():
        notice(reason, str(path))
    return Series(headers=headers, left_out=left_out)


def modality_of(dataset: Dataset) -> str:
    """The modality, as it is written."""
    return str(dataset.get("Modality", "") or "unknown")


def _image_header(path: Path) -> Dataset | None:
    """The header, or None for what is no image."""
    with path.open("rb") as file:
        head = file.read(132)
    if head[128:] == b"DICM":
        with reading(path):
            return _header(path)
    if not is_dicom(head) and path.suffix.lower() not in _NAMES:
        return None
    try:  # a data set without group 2, or something else altogether
        with reading(path):
            return _header(path)
    except UserError:
        return None


def _header(path: Path) -> Dataset | None:
    header = read_dataset(path, pixels=False, image=False)
    is_image = header.get("Rows") and header.get("Columns") and header.get("SOPClassUID") != _DIRECTORY
    return header if is_image else None


def _refuse_several(folder: Path, headers: list[Dataset]) -> None:
    if not headers:
        raise UserError(f"{folder} holds no DICOM images; give a folder with the files of one series.")
    series = Counter((str(header.get("SeriesInstanceUID", "")), modality_of(header)) for header in headers)
    if len(series) > 1:
        found = ", ".join(f"{count} {modality}" for (_, modality), count in series.items())
        raise UserError(f"{folder} holds {len(series)} series ({found} images); put each in a folder of its own.")


def _refuse_frames(headers: dict[Path, Dataset]) -> None:
    for path, header in headers.items():
        frames = int(header.get("NumberOfFrames") or 1)
        if frames > 1:
            raise UserError(f"{path} holds {frames} frames and is not alone in its folder; give such files one by one.")


def _localizers(headers: dict[Path, Dataset]) -> list[Path]:
    """The images that say so of themselves, and the few that lie across all others."""
    named = [path for path, header in headers.items() if "LOCALIZER" in _image_type(header)]
    if len(named) == len(headers):
        return []  # a series of them
    others = {path: header for path, header in headers.items() if path not in named}
    return named + _lying_across(others)


def _lying_across(headers: dict[Path, Dataset]) -> list[Path]:
    """The few images whose plane is not that of all others; none where some do not say how they lie."""
    if len({str(header.get("ImageOrientationPatient")) for header in headers.values()}) == 1:
        return []
    places = [placed(header) for header in headers.values()]
    normals = np.array([place.normal for place in places if place is not None])
    if len(normals) < len(places):
        return []
    alike = np.abs(normals @ normals.T) > _ALIKE  # [N, N]
    common = alike[alike.sum(axis=1).argmax()]
    if common.mean() < _MAJORITY:
        return []
    return [path for path, is_common in zip(headers, common, strict=True) if not is_common]


def _image_type(header: Dataset) -> str:
    written = header.get("ImageType") or ()
    return (written if isinstance(written, str) else "\\".join(written)).upper()
