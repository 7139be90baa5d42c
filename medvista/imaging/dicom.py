"""DICOM files and series to `MedicalImage`, through pydicom."""

from __future__ import annotations

import warnings
from collections import Counter
from pathlib import Path

import numpy as np
from pydicom import Dataset

from medvista.errors import UserError
from medvista.imaging.dicom_file import decode, read_dataset, reading
from medvista.imaging.dicom_grey import Grey, grey_values
from medvista.imaging.dicom_place import pixel_spacing, placed
from medvista.imaging.display import robust_window, with_label_window
from medvista.imaging.identifiers import BurnedInWarning, burned_in_risk
from medvista.imaging.limits import refuse_too_large
from medvista.imaging.stack import Placed, StackError, sort_slices, spacing_of, stand_upright
from medvista.imaging.volume import first_slice
from medvista.types import MedicalImage, Volume

_DIRECTORY = "1.2.840.10008.1.3.10"  # a DICOMDIR


def read_dicom(path: Path) -> MedicalImage:
    """Read a DICOM file: a picture, a film, or a volume in one file, of which the middle is shown first.

    Grey values are rescaled (HU for CT), larger is brighter; the display is the file's first window or look-up table.

    Raises:
        UserError: the file is no DICOM image, is damaged or too large, or needs a decoder that is not installed.
    """
    with reading(path):  # all of it: tags are parsed when they are used
        dataset = read_dataset(path)
        risk = burned_in_risk(dataset)
        frames = decode(dataset, path)
        if len(frames) == 1:
            image = with_label_window(_picture(dataset, frames[0]), str(path))
        else:
            image = first_slice(_frames_to_volume(dataset, frames))
    _warn(path, risk)
    return image


def read_series(folder: Path) -> MedicalImage:
    """Read the one DICOM series in a folder as a volume, slices sorted by their position.

    Raises:
        UserError: there are none or several series, slices of different size, tilted, doubled or missing ones, or one
            that cannot be read.
    """
    with reading(folder):
        headers = _headers(folder)
        paths, first = list(headers), next(iter(headers.values()))
        if len(paths) == 1:
            return read_dicom(paths[0])
        risk = burned_in_risk(first)
        order, affine = _order(folder, list(headers.values()))
        refuse_too_large(folder, (len(paths), first.Rows, first.Columns), 4)
        image = first_slice(_volume(first, [_read_slice(paths[index]) for index in order], affine))
    _warn(folder, risk)
    return image


def _order(folder: Path, headers: list[Dataset]) -> tuple[list[int], np.ndarray]:
    """The order of the slices, and the affine of the volume they make."""
    places = [placed(header) for header in headers]
    if any(place is None for place in places):
        raise UserError(f"{folder} holds images without a position in the patient; give its files one by one.")
    if len({(header.Rows, header.Columns) for header in headers}) > 1:
        raise UserError(f"{folder} holds images of different sizes; keep those of one volume.")
    try:
        return sort_slices([place for place in places if place is not None])
    except StackError as error:
        raise UserError(f"{folder} is no volume: {error}.") from None


def _headers(folder: Path) -> dict[Path, Dataset]:
    """The images of a folder without their pixels, all of one series."""
    headers = {}
    for path in sorted(folder.iterdir()):
        with reading(path):
            header = _image_header(path) if path.is_file() and _is_dicom(path) else None
        if header is not None:
            headers[path] = header
    if not headers:
        raise UserError(f"{folder} holds no DICOM images; give a folder with the files of one series.")
    series = Counter((str(header.get("SeriesInstanceUID", "")), _modality(header)) for header in headers.values())
    if len(series) > 1:
        found = ", ".join(f"{count} {modality}" for (_, modality), count in series.items())
        raise UserError(f"{folder} holds {len(series)} series ({found} images); put each in a folder of its own.")
    return headers


def _is_dicom(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(132)[128:] == b"DICM"


def _image_header(path: Path) -> Dataset | None:
    """The header, or None for what goes along with a series and is no image: a DICOMDIR, a report, contours."""
    header = read_dataset(path, pixels=False, image=False)
    is_image = header.get("Rows") and header.get("Columns") and header.get("SOPClassUID") != _DIRECTORY
    return header if is_image else None


def _read_slice(path: Path) -> Grey:
    with reading(path):
        dataset = read_dataset(path)
        return _grey(dataset, decode(dataset, path)[0])


def _picture(dataset: Dataset, pixels: np.ndarray) -> MedicalImage:
    grey = _grey(dataset, pixels)
    place = placed(dataset)
    return MedicalImage(
        pixels=grey.values,
        window=grey.window,
        curve=grey.curve,
        modality=_modality(dataset),
        spacing_mm=pixel_spacing(dataset),
        to_patient=None if place is None else place.to_patient,
    )


def _grey(dataset: Dataset, pixels: np.ndarray, frame: int = 0) -> Grey:
    """Grey values of a frame, or its colour as it is."""
    if pixels.ndim == 3 or dataset.SamplesPerPixel == 3 or dataset.PhotometricInterpretation == "PALETTE COLOR":
        return Grey(values=pixels)
    return grey_values(dataset, pixels, frame)


def _frames_to_volume(dataset: Dataset, frames: np.ndarray) -> Volume:
    """A volume where the frames of a file lie evenly in the patient, else a film."""
    greys = [_grey(dataset, frame, index) for index, frame in enumerate(frames)]
    places = [placed(dataset, index) for index in range(len(frames))]
    distinct: list[Placed] = [place for place in places if place is not None]
    if len(distinct) == len(frames):
        try:
            order, affine = sort_slices(distinct)
            return _volume(dataset, [greys[index] for index in order], affine)
        except StackError:
            pass  # moments or contrasts of the same place: shown one after the other
    spacing = pixel_spacing(dataset)
    return Volume(
        voxels=np.stack([grey.values for grey in greys]),
        spacing_mm=None if spacing is None else (0.0, *spacing),
        window=greys[0].window,
        curve=greys[0].curve,
        modality=_modality(dataset),
        plane="frame",
    )


def _volume(dataset: Dataset, greys: list[Grey], affine: np.ndarray) -> Volume:
    voxels, to_patient, plane = stand_upright(np.stack([grey.values for grey in greys]), affine)
    middle = greys[len(greys) // 2]
    window = middle.window
    if window is None and middle.curve is None and voxels.ndim == 3:
        window = robust_window(voxels)  # one for all slices, so that they compare
    return Volume(
        voxels=voxels,
        spacing_mm=spacing_of(to_patient),
        to_patient=to_patient,
        window=window,
        curve=middle.curve,
        modality=_modality(dataset),
        plane=plane,
    )


def _modality(dataset: Dataset) -> str:
    return str(dataset.get("Modality", "") or "unknown")


def _warn(path: Path, risk: str | None) -> None:
    if risk is not None:
        warnings.warn(f"Look at {path} before you show or share it: {risk}.", BurnedInWarning, stacklevel=4)
