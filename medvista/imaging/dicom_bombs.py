"""DICOM files that unfold to far more than they are: looked at before pydicom unfolds them.

A deflated data set may grow a thousandfold, and pydicom inflates it whole, even for its header. A JPEG, JPEG-LS or
JPEG 2000 codestream states a size of its own, and its decoder makes that much, whatever the tags Rows and Columns say.
"""

from __future__ import annotations

import zlib
from pathlib import Path
from typing import BinaryIO

from pydicom import Dataset
from pydicom.encaps import generate_frames
from pydicom.filereader import read_dataset
from pydicom.uid import UID

from medvista.errors import UserError

MAX_INFLATED_BYTES = 512 * 2**20
_DEFLATED = ("1.2.840.10008.1.2.1.99", "1.2.840.10008.1.2.4.95")  # explicit VR little endian; referenced JPIP
_AT_ONCE = 2**20
# Markers of JPEG and JPEG-LS behind which the size and depth of a frame stand.
_START_OF_FRAME = {*range(0xC0, 0xD0), 0xF7} - {0xC4, 0xC8, 0xCC}
_J2K_START = b"\xff\x4f\xff\x51"  # SOC, and SIZ right behind it


def refuse_inflated(path: Path) -> None:
    """Looks at how large a deflated data set becomes; others pass.

    Raises:
        UserError: it becomes larger than `MAX_INFLATED_BYTES`.
    """
    with path.open("rb") as file:
        if file.read(132)[128:] != b"DICM":  # without group 2 a file cannot say that it is deflated
            return
        # The rest begins where group 2 ends, which its own length may be wrong about.
        meta = read_dataset(file, False, True, stop_when=lambda tag, vr, length: tag.group != 2)
        if str(meta.get("TransferSyntaxUID", "")) not in _DEFLATED:
            return
        if _inflated(file) > MAX_INFLATED_BYTES:
            raise UserError(
                f"{path} is too large: a deflated file that becomes more than {MAX_INFLATED_BYTES // 2**20} MiB; "
                "export it uncompressed if you trust it."
            )


def _inflated(file: BinaryIO) -> int:
    """Bytes that a raw deflate stream becomes, counted no further than one step beyond the limit."""
    stream, size = zlib.decompressobj(-zlib.MAX_WBITS), 0
    while size <= MAX_INFLATED_BYTES and not stream.eof:
        data = stream.unconsumed_tail or file.read(_AT_ONCE)
        if not data:
            break
        size += len(stream.decompress(data, _AT_ONCE))
    return size


def refuse_larger_codestreams(dataset: Dataset, syntax: UID | None, path: Path) -> None:
    """Looks at the size that each compressed frame states.

    Raises:
        UserError: one is larger than the tags Rows and Columns.
    """
    if syntax is None:
        return
    stated = int(dataset.Rows), int(dataset.Columns)
    for frame in generate_frames(dataset.PixelData, number_of_frames=int(dataset.get("NumberOfFrames") or 1)):
        size = codestream_size(frame)
        if size is not None and (size[0] > stated[0] or size[1] > stated[1]):
            raise UserError(
                f"{path} is damaged: its header says {stated[0]} x {stated[1]} pixels, a frame in it "
                f"{size[0]} x {size[1]}; export it again."
            )


def codestream_size(codestream: bytes) -> tuple[int, int] | None:
    """Rows and columns that a JPEG, JPEG-LS or JPEG 2000 codestream states; None where it is none.

    >>> codestream_size(bytes.fromhex("ffd8 ffc0 000b 08 0002 0003 01 01 11 00"))
    (2, 3)
    """
    at = codestream.find(_J2K_START, 0, 4096)  # behind the boxes of a JP2 file, which does not belong here and occurs
    if at >= 0:
        columns, rows, left, top = (int.from_bytes(codestream[at + n : at + n + 4], "big") for n in (8, 12, 16, 20))
        return rows - top, columns - left
    frame = start_of_frame(codestream)
    if frame is None:
        return None
    rows, columns = (int.from_bytes(codestream[frame + n : frame + n + 2], "big") for n in (5, 7))
    return rows, columns


def start_of_frame(codestream: bytes) -> int | None:
    """Where the marker of a JPEG or JPEG-LS codestream is that states size and depth."""
    at = 2
    while at + 8 < len(codestream) and codestream[at] == 0xFF:
        if codestream[at + 1] in _START_OF_FRAME:
            return at
        if codestream[at + 1] == 0xFF:  # a byte that fills up
            at += 1
        else:
            at += 2 + int.from_bytes(codestream[at + 2 : at + 4], "big")
    return None
