"""Identifiers that no tag holds: names and dates drawn into the pixels."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pydicom import Dataset


class BurnedInWarning(UserWarning):
    """An image may show who the patient is, in its pixels."""


_SECONDARY_CAPTURE = "1.2.840.10008.5.1.4.1.1.7"  # and its multi-frame forms, .1 to .4

# Devices that write name and date into the picture, or that digitise something on which these stand.
_DRAWING_MODALITIES = {"US": "ultrasound", "IVUS": "ultrasound", "SC": "a secondary capture", "OT": "of another kind"}
_DRAWING_MODALITIES |= {"ES": "endoscopy", "GM": "general microscopy", "XC": "a photograph", "DOC": "a document"}


def burned_in_risk(dataset: Dataset) -> str | None:
    """Why the pixels of a DICOM image may name the patient, or None where nothing speaks for it.

    The tag "Burned In Annotation" (0028,0301) decides where it is there; else the kind of image does.
    """
    annotation = str(dataset.get("BurnedInAnnotation", "")).upper()
    if annotation == "YES":
        return "its tag Burned In Annotation says that its pixels identify the patient"
    if annotation == "NO":
        return None
    modality = str(dataset.get("Modality", ""))
    if str(dataset.get("SOPClassUID", "")).startswith(_SECONDARY_CAPTURE) or "ConversionType" in dataset:
        return "it is a secondary capture, and such pictures often show name and date"
    if modality in _DRAWING_MODALITIES:
        return f"it is {_DRAWING_MODALITIES[modality]}, and such pictures often show name and date"
    if "SCREEN SAVE" in " ".join(dataset.get("ImageType", None) or ()).upper():
        return "it is a saved screen, and such pictures often show name and date"
    return None
