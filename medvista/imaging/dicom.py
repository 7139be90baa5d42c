"""DICOM files and series to `MedicalImage`, through pydicom."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
from pydicom import Dataset

from medvista.errors import UserError
from medvista.imaging.dicom_file import read_dataset, reading
from medvista.imaging.dicom_grey import Grey, automatic_window, grey_values
from medvista.imaging.dicom_pixels import Stored, decode, stored_bits
from medvista.imaging.dicom_place import pixel_spacing, placed
from medvista.imaging.dicom_series import Series, find_series, modality_of
from medvista.imaging.display import with_label_window
from medvista.imaging.identifiers import BurnedInWarning, burned_in_risk
from medvista.imaging.limits import refuse_too_large
from medvista.imaging.stack import Placed, StackError, sort_slices, spacing_of, stand_upright
from medvista.imaging.volume import first_slice
from medvista.types import MedicalImage, Volume, Window


def read_dicom(path: Path) -> MedicalImage:
    """Read a DICOM file: a picture, a film, or a volume in one file, of which the middle is shown first.

    Grey values are rescaled (HU for CT), larger is brighter, NaN where they are padding; the display is the file's
    first window or look-up table.

    Raises:
        UserError: the file is no DICOM image, is damaged or too large, or needs a decoder that is not installed.
    """
    with reading(path):  # all of it: tags are parsed when they are used
        dataset = read_dataset(path)
        risk = burned_in_risk(dataset)
        stored = decode(dataset, path)
        if len(stored.values) == 1:
            image = with_label_window(_picture(dataset, stored), str(path))
        else:
            image = first_slice(_frames_to_volume(dataset, stored))
    _warn(path, risk)
    return image


def read_series(folder: Path) -> MedicalImage:
    """Read the one DICOM series in a folder as a volume, slices sorted by their position.

    Localizers and files without an image are left out, and counted (`medvista.notices`).

    Raises:
        UserError: there are none or several series, slices of different size, tilted, doubled or missing ones, or one
            that cannot be read.
    """
    with reading(folder):
        series = find_series(folder)
        paths, first = list(series.headers), next(iter(series.headers.values()))
        if len(paths) == 1:
            return read_dicom(paths[0])
        risk = burned_in_risk(first)
        order, affine = _order(folder, series)
        refuse_too_large(folder, (len(paths), first.Rows, first.Columns), 4)
        image = first_slice(_volume(first, [_read_slice(paths[index]) for index in order], affine))
    _warn(folder, risk)
    return image


def _order(folder: Path, series: Series) -> tuple[list[int], np.ndarray]:
    """The order of the slices, and the affine of the volume they make."""
    headers = list(series.headers.values())
    places = [placed(header) for header in headers]
    if any(place is None for place in places):
        raise UserError(f"{folder} holds images without a position in the patient; give its files one by one.")
    if len({(header.Rows, header.Columns) for header in headers}) > 1:
        raise UserError(f"{folder} holds images of different sizes; keep those of one volume.")
    try:
        return sort_slices([place for place in places if place is not None])
    except StackError as error:
        raise UserError(f"{folder} is no volume: {error}.{series.remark()}") from None


def _read_slice(path: Path) -> Grey:
    with reading(path):
        dataset = read_dataset(path)
        return _grey(dataset, decode(dataset, path))


def _picture(dataset: Dataset, stored: Stored) -> MedicalImage:
    grey = _grey(dataset, stored)
    place = placed(dataset)
    return MedicalImage(
        pixels=grey.values,
        window=_window(dataset, grey, grey.values),
        curve=grey.curve,
        modality=modality_of(dataset),
        spacing_mm=pixel_spacing(dataset),
        to_patient=None if place is None else place.to_patient,
    )


def _grey(dataset: Dataset, stored: Stored, frame: int = 0) -> Grey:
    """Grey values of a frame, or its colour as it is."""
    pixels = stored.values[frame]
    if _is_colour(dataset):
        return Grey(values=pixels)
    return grey_values(dataset, pixels, None if stored.padding is None else stored.padding[frame], frame)


def _frames_to_volume(dataset: Dataset, stored: Stored) -> Volume:
    """A volume where the frames of a file lie evenly in the patient, else a film."""
    count = len(stored.values)
    greys = [_grey(dataset, stored, index) for index in range(count)]
    places = [placed(dataset, index) for index in range(count)]
    distinct: list[Placed] = [place for place in places if place is not None]
    if len(distinct) == count:
        try:
            order, affine = sort_slices(distinct)
            return _volume(dataset, [greys[index] for index in order], affine)
        except StackError:
            pass  # moments or contrasts of the same place: shown one after the other
    spacing = pixel_spacing(dataset)
    voxels = _voxels(greys, greys[0])
    return Volume(
        voxels=voxels,
        spacing_mm=None if spacing is None else (0.0, *spacing),
        window=_window(dataset, greys[0], voxels),
        curve=greys[0].curve,
        modality=modality_of(dataset),
        plane="frame",
    )


def _volume(dataset: Dataset, greys: list[Grey], affine: np.ndarray) -> Volume:
    middle = greys[len(greys) // 2]
    voxels, to_patient, plane = stand_upright(_voxels(greys, middle), affine)
    return Volume(
        voxels=voxels,
        spacing_mm=spacing_of(to_patient),
        to_patient=to_patient,
        window=_window(dataset, middle, voxels, of_volume=True),
        curve=middle.curve,
        modality=modality_of(dataset),
        plane=plane,
    )


def _is_colour(dataset: Dataset) -> bool:
    """Whether its values mean colours, which may all be without colour."""
    return dataset.SamplesPerPixel == 3 or dataset.PhotometricInterpretation == "PALETTE COLOR"


def _window(dataset: Dataset, grey: Grey, values: np.ndarray, *, of_volume: bool = False) -> Window | None:
    """The window that the file names for some of its values, else one that suits them all."""
    if grey.window is not None or grey.curve is not None or _is_colour(dataset):
        return grey.window
    return automatic_window(values, stored_bits(dataset), of_volume=of_volume)


def _voxels(greys: list[Grey], shown: Grey) -> np.ndarray:
    """The slices as one array, in the grey values of the one whose window holds for all."""
    slices = [_like(grey, shown) for grey in greys]
    if len({pixels.ndim for pixels in slices}) > 1:  # a slice of colours that are all grey is read as grey
        slices = [pixels if pixels.ndim == 3 else np.repeat(pixels[..., None], 3, axis=-1) for pixels in slices]
    return np.stack(slices)


def _like(grey: Grey, shown: Grey) -> np.ndarray:
    """Values of MONOCHROME1 that were turned around within the range of their own slope, in that of another slice."""
    apart = shown.turned_within - grey.turned_within
    return grey.values if apart == 0 else (grey.values + np.float32(apart)).astype(np.float32)


def _warn(path: Path, risk: str | None) -> None:
    if risk is not None:
        warnings.warn(f"Look at {path} before you show or share it: {risk}.", BurnedInWarning, stacklevel=4)
