"""Where a DICOM image lies and how large its pixels are (PS3.3 C.7.6.2 and 10.7.1.3)."""

from __future__ import annotations

from typing import Any

import numpy as np
from pydicom import Dataset

from medvista.imaging.stack import Placed

_CENTIMETRES = 3  # a unit of ultrasound regions


def of_frame(dataset: Dataset, frame: int, keyword: str, group: str) -> Any:
    """An attribute of a frame: of the whole file, or from the functional group of an enhanced multi-frame file."""
    if dataset.get(keyword) is not None:
        return dataset.get(keyword)
    per_frame = dataset.get("PerFrameFunctionalGroupsSequence") or ()
    shared = dataset.get("SharedFunctionalGroupsSequence") or ()
    for item in (*per_frame[frame : frame + 1], *shared[:1]):
        functional = item.get(group)
        if functional and functional[0].get(keyword) is not None:
            return functional[0].get(keyword)
    return None


def pixel_spacing(dataset: Dataset, frame: int = 0) -> tuple[float, float] | None:
    """Millimetres between rows and between columns, in the patient as far as the file can say.

    Pixel Spacing first; then that at the detector, divided by the magnification where it is estimated (without it, it
    is too large by that factor); then that of a scanned film; then that of the one region of an ultrasound image.
    """
    calibrated = _two_numbers(of_frame(dataset, frame, "PixelSpacing", "PixelMeasuresSequence"))
    if calibrated is not None:
        return calibrated
    detector = _two_numbers(dataset.get("ImagerPixelSpacing"))
    if detector is not None:
        magnification = float(dataset.get("EstimatedRadiographicMagnificationFactor") or 1.0)
        return detector[0] / magnification, detector[1] / magnification
    return _two_numbers(dataset.get("NominalScannedPixelSpacing")) or _ultrasound_spacing(dataset)


def placed(dataset: Dataset, frame: int = 0) -> Placed | None:
    """Position and orientation of a frame in the patient, or None where the file does not say."""
    position = of_frame(dataset, frame, "ImagePositionPatient", "PlanePositionSequence")
    orientation = of_frame(dataset, frame, "ImageOrientationPatient", "PlaneOrientationSequence")
    spacing = pixel_spacing(dataset, frame)
    if not position or not orientation or spacing is None or len(position) != 3 or len(orientation) != 6:
        return None
    directions = np.array(orientation, dtype=float)
    return Placed(
        position=np.array(position, dtype=float), across=directions[:3], down=directions[3:], spacing_mm=spacing
    )


def _two_numbers(value: Any) -> tuple[float, float] | None:
    if value is None or len(value) != 2:
        return None
    down, across = float(value[0]), float(value[1])
    return (down, across) if down > 0 and across > 0 else None


def _ultrasound_spacing(dataset: Dataset) -> tuple[float, float] | None:
    """Spacing where all regions in centimetres agree on it (PS3.3 C.8.5.5)."""
    spacings = {
        (10 * abs(float(region.PhysicalDeltaY)), 10 * abs(float(region.PhysicalDeltaX)))
        for region in dataset.get("SequenceOfUltrasoundRegions") or ()
        if region.get("PhysicalUnitsXDirection") == region.get("PhysicalUnitsYDirection") == _CENTIMETRES
    }
    return _two_numbers(spacings.pop()) if len(spacings) == 1 else None
