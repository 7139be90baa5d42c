"""DICOM files to read, written by pydicom."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest


@pytest.fixture
def write_dicom(tmp_path: Path) -> Callable[..., Path]:
    """Writes grey pixels as an uncompressed DICOM file with the tags given, and returns where."""
    from pydicom.dataset import Dataset, FileMetaDataset
    from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, generate_uid

    def write(pixels: np.ndarray, name: str = "image.dcm", **tags: Any) -> Path:
        dataset = Dataset()
        dataset.file_meta = FileMetaDataset()
        dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
        dataset.SOPClassUID, dataset.SOPInstanceUID = tags.pop("SOPClassUID", CTImageStorage), generate_uid()
        dataset.file_meta.MediaStorageSOPClassUID = dataset.SOPClassUID
        dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
        dataset.Modality = "CT"
        dataset.Rows, dataset.Columns = pixels.shape[-2:]
        if pixels.ndim == 3:
            dataset.NumberOfFrames = len(pixels)
        dataset.SamplesPerPixel, dataset.PhotometricInterpretation = 1, "MONOCHROME2"
        dataset.BitsAllocated = dataset.BitsStored = pixels.dtype.itemsize * 8
        dataset.HighBit = dataset.BitsStored - 1
        dataset.PixelRepresentation = int(pixels.dtype.kind == "i")
        dataset.PixelData = pixels.tobytes()
        for tag, value in tags.items():
            setattr(dataset, tag, value)
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        dataset.save_as(path, enforce_file_format=True)
        return path

    return write


@pytest.fixture
def write_series(write_dicom: Callable[..., Path]) -> Callable[..., Path]:
    """Writes voxels ``[S, R, C]`` as one DICOM file a slice, their order shuffled, and returns the folder."""

    def write(
        voxels: np.ndarray,
        orientation: tuple[float, ...] = (1, 0, 0, 0, 1, 0),
        step: float | tuple[float, ...] = 2.5,
        skip: tuple[int, ...] = (),
        **tags: Any,
    ) -> Path:
        normal = np.cross(orientation[:3], orientation[3:])
        move = np.array(step) if isinstance(step, tuple) else normal * step
        for index in np.random.default_rng(0).permutation(len(voxels)):
            if index not in skip:
                own = {
                    "ImagePositionPatient": [
                        round(float(value), 4) for value in np.array([-10, -20, 30]) + index * move
                    ],
                    "ImageOrientationPatient": list(orientation),
                    "PixelSpacing": [0.5, 0.25],
                    "SeriesInstanceUID": "1.2.3",
                }
                path = write_dicom(voxels[index], f"series/{index:03d}.dcm", **(own | tags))
        return path.parent

    return write


@pytest.fixture
def re_encode() -> Callable[..., Path]:
    """Writes an uncompressed DICOM file again in another encoding, beside it and as a data set alone where asked."""
    from pydicom import Dataset, dcmread, dcmwrite
    from pydicom.uid import ExplicitVRBigEndian, ImplicitVRLittleEndian

    def swap(dataset: Dataset) -> None:
        for element in dataset:
            if element.VR == "SQ":
                for item in element.value:
                    swap(item)
            elif element.VR in ("OW", "OB") and len(element.value) > 2:
                element.value = np.frombuffer(element.value, "<u2").astype(">u2").tobytes()
                element.VR = "OW"

    def write(path: Path, syntax: str, bare: bool = False) -> Path:
        dataset = dcmread(path)
        implicit, little = syntax == ImplicitVRLittleEndian, syntax != ExplicitVRBigEndian
        if not little:
            swap(dataset)
        written = path.with_name(f"{path.stem}-again.dcm")
        alone = Dataset({element.tag: element for element in dataset})
        with written.open("wb") as file:
            if not bare:
                alone.file_meta = dataset.file_meta
                alone.file_meta.TransferSyntaxUID = syntax
                alone.preamble = b"\0" * 128
            dcmwrite(file, alone, implicit_vr=implicit, little_endian=little, force_encoding=True)
        return written

    return write
