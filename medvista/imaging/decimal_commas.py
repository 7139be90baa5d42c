"""Numbers of a DICOM file written with a decimal comma, as some regional settings do: DICOM knows the point only."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pydicom import Dataset
from pydicom.datadict import dictionary_has_tag, dictionary_VR
from pydicom.dataelem import DataElement, RawDataElement

from medvista.errors import UserError
from medvista.notices import notice

_NUMBER = re.compile(rb"\s*[+-]?\d*,\d+([eE][+-]?\d+)?\s*\x00?")  # with one comma, and nothing else to doubt


def mend_decimal_commas(dataset: Dataset, path: Path) -> None:
    """Puts a point in place of the comma in each decimal number (DS) of a data set and of its sequences, and says so.

    Args:
        dataset: read, its numbers not yet parsed.
        path: its file.

    Raises:
        UserError: a number has several commas, or commas and points: which is the decimal one would be a guess.
    """
    for holder, element in _with_comma(dataset):
        parts = (element.value or b"").split(b"\\")
        for part in parts:
            if b"," in part and not _NUMBER.fullmatch(part):
                text = part.decode("ascii", "replace").strip()
                raise UserError(
                    f"{path} holds the number '{text}', whose commas may mean two things; write it with points."
                )
        holder[element.tag] = element._replace(value=b"\\".join(parts).replace(b",", b"."))
        notice("decimal commas in numbers were read as points", str(path))


def _with_comma(dataset: Dataset) -> Iterator[tuple[Dataset, RawDataElement]]:
    """The decimal numbers with a comma, each with the data set or item that it is in."""
    for tag in list(dataset.keys()):
        element: Any = dataset.get_item(tag)  # raw, though its type says otherwise
        kind = _kind(element)
        if kind == "DS" and isinstance(element, RawDataElement) and b"," in (element.value or b""):
            yield dataset, element
        elif kind == "SQ":
            for item in dataset[tag].value or ():
                yield from _with_comma(item)


def _kind(element: RawDataElement | DataElement) -> str:
    """The value representation, looked up where the file does not say it; empty for what nobody knows."""
    if element.VR is not None and element.VR != "UN":
        return str(element.VR)
    return dictionary_VR(element.tag) if dictionary_has_tag(element.tag) else ""
