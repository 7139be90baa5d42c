"""The colours of a DICOM image with a palette (PS3.3 C.7.6.3.1.5, C.7.6.3.1.6 and C.7.9)."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from pydicom import Dataset

from medvista.imaging.dicom_table import Table, as_bytes, as_words, read_table

_COLOURS = ("Red", "Green", "Blue")
_MOST_ENTRIES = 2**16


def palette_colours(dataset: Dataset, values: np.ndarray, span: tuple[float, float]) -> np.ndarray:
    """Colours ``[..., 3]`` in 8 bits of stored values ``[...]``.

    Args:
        dataset: the data set with the palette, whole or in segments.
        values: whole numbers.
        span: the smallest and the largest that they may be.

    Raises:
        ValueError: there is no palette, or its segments make no sense.
    """
    tables = [_channel(dataset, colour, span) for colour in _COLOURS]
    surplus = max(_depth(max(int(table.entries.max()) for table in tables)) - 8, 0)
    shown = [replace(table, entries=(table.entries >> surplus).astype(np.uint8)) for table in tables]
    return np.stack([table.look_up(values) for table in shown], axis=-1)


def _depth(largest: int) -> int:
    """Bits of an entry, by the largest of the palette: what descriptors say of it is often wrong.

    A palette of 16 bits may be dark, but not so dark that 12 bits hold it.
    """
    return largest.bit_length() if largest < 2**12 else 16


def _channel(dataset: Dataset, colour: str, span: tuple[float, float]) -> Table:
    descriptor = dataset.get(f"{colour}PaletteColorLookupTableDescriptor")
    data = dataset.get(f"{colour}PaletteColorLookupTableData")
    segments = dataset.get(f"Segmented{colour}PaletteColorLookupTableData")
    if data is None and segments is not None and descriptor is not None:
        data = _expanded(as_words(dataset, segments), int(descriptor[2]))
    table = read_table(dataset, descriptor, data, span)
    if table is None:
        raise ValueError(f"its {colour.lower()} palette is missing")
    return table


def _expanded(words: np.ndarray, bits: int) -> list[int]:
    """The entries of a palette in segments: values one by one, straight lines, and repetitions of earlier segments."""
    elements, size = (as_bytes(words).tolist(), 1) if bits <= 8 else (words.tolist(), 2)
    entries: list[int] = []
    at = 0
    while at + 2 < len(elements) and len(entries) < _MOST_ENTRIES:  # a last byte alone fills up a word
        at = _repeat(elements, at, size, entries) if elements[at] == 2 else _append(elements, at, entries)
    return entries


def _append(elements: list[int], at: int, entries: list[int]) -> int:
    """Adds the entries of a segment of values or of a line, and returns where the next segment begins."""
    kind, count = elements[at : at + 2]
    if kind == 0:
        entries += elements[at + 2 : at + 2 + count]
        return at + 2 + count
    if kind != 1 or not entries:
        raise ValueError(f"a segment of its palette is of kind {kind}, which cannot stand there")
    line = np.linspace(entries[-1], elements[at + 2], count + 1)[1:]
    entries += np.rint(line).astype(int).tolist()
    return at + 3


def _repeat(elements: list[int], at: int, size: int, entries: list[int]) -> int:
    """Adds segments that stand elsewhere, by the offset in bytes; these cannot repeat others in turn."""
    count = elements[at + 1]
    digits = elements[at + 2 : at + 2 + 4 // size]
    start = sum(digit << (8 * size * place) for place, digit in enumerate(digits)) // size
    for _ in range(count):
        start = _append(elements, start, entries)
    return at + 2 + 4 // size
