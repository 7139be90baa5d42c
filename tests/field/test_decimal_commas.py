"""DICOM numbers written with a comma."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pydicom
import pytest
from pydicom.data import get_testdata_file

from medvista.errors import UserError
from medvista.imaging import read_image
from medvista.notices import NOTICES
from medvista.types import Window

SAID = "decimal commas in numbers were read as points"


def write(path: Path, *, implicit: bool = False, **numbers: str) -> Path:
    """A CT with these numbers, their points written as commas where "_" stands."""
    dataset = pydicom.dcmread(get_testdata_file("CT_small.dcm"))
    for name, text in numbers.items():
        setattr(dataset, name, [part.replace("_", ".") for part in text.split("\\")])
    syntax = pydicom.uid.ImplicitVRLittleEndian if implicit else pydicom.uid.ExplicitVRLittleEndian
    dataset.file_meta.TransferSyntaxUID = syntax
    dataset.save_as(path, implicit_vr=implicit, little_endian=True)
    data = path.read_bytes()
    for text in numbers.values():
        pointed = text.replace("_", ".").encode()
        assert pointed in data
        data = data.replace(pointed, text.replace("_", ",").encode())
    path.write_bytes(data)
    return path


@pytest.mark.parametrize("implicit", [False, True])
def test_a_decimal_comma_is_a_point_and_that_is_said(implicit: bool, tmp_path: Path) -> None:
    NOTICES.clear()
    path = write(
        tmp_path / "ct.dcm",
        implicit=implicit,
        PixelSpacing="0_51\\0_52",
        RescaleIntercept="-1000_5",
        WindowCenter="-600_25\\40",
        WindowWidth="1500_5\\400",
    )
    image = read_image(path)
    assert image.spacing_mm == (0.51, 0.52)
    assert image.window == Window(centre=-600.25, width=1500.5)
    stored = pydicom.dcmread(get_testdata_file("CT_small.dcm")).pixel_array
    assert np.array_equal(image.pixels, (stored - 1000.5).astype(np.float32))
    assert [(notice.what, notice.count) for notice in NOTICES.collected()] == [(SAID, 1)]


@pytest.mark.parametrize("number", ["1.234,56", "1,234,56", "0.51,0.52"])
def test_a_number_that_could_be_another_is_not_guessed(number: str, tmp_path: Path) -> None:
    path = write(tmp_path / "ct.dcm", WindowCenter="9" * len(number), WindowWidth="400")
    path.write_bytes(path.read_bytes().replace(b"9" * len(number), number.encode()))
    with pytest.raises(UserError, match=f"holds the number '{number}'"):
        read_image(path)


def test_a_comma_in_a_functional_group_is_found_too(tmp_path: Path) -> None:
    dataset = pydicom.dcmread(get_testdata_file("CT_small.dcm"))
    measures, shared = pydicom.Dataset(), pydicom.Dataset()
    measures.PixelSpacing = [0.51, 0.52]
    shared.PixelMeasuresSequence = [measures]
    dataset.SharedFunctionalGroupsSequence = [shared]
    del dataset.PixelSpacing
    dataset.save_as(tmp_path / "ct.dcm")
    data = (tmp_path / "ct.dcm").read_bytes()
    assert b"0.51\\0.52" in data
    (tmp_path / "ct.dcm").write_bytes(data.replace(b"0.51\\0.52", b"0,51\\0,52"))
    assert read_image(tmp_path / "ct.dcm").spacing_mm == (0.51, 0.52)
