"""A small file cannot ask for much memory: what it would become is looked at before it does."""

from __future__ import annotations

import io
import tracemalloc
import zlib
from collections.abc import Callable
from pathlib import Path

import nibabel
import numpy as np
import pytest
from PIL import Image
from pydicom import dcmread
from pydicom.encaps import encapsulate
from pydicom.filereader import read_file_meta_info
from pydicom.uid import DeflatedExplicitVRLittleEndian, JPEGBaseline8Bit

from medvista.errors import UserError
from medvista.imaging import read_image
from medvista.imaging.dicom_bombs import MAX_INFLATED_BYTES, codestream_size
from medvista.imaging.encoding import decode_image
from medvista.imaging.limits import MAX_PEAK_BYTES, MAX_PIXELS, refuse_too_large
from medvista.imaging.transparency import on_white

MIB = 2**20


def peak_bytes(work: Callable[[], object]) -> int:
    tracemalloc.start()
    try:
        work()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


@pytest.fixture(scope="module")
def deflated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Half a megabyte that becomes more than a data set may."""
    from pydicom.data import get_testdata_file

    dataset = dcmread(get_testdata_file("CT_small.dcm"))
    dataset.file_meta.TransferSyntaxUID = DeflatedExplicitVRLittleEndian
    path = tmp_path_factory.mktemp("bomb") / "deflated.dcm"
    dataset.save_as(path)
    small = path.read_bytes()
    head = 132 + 12 + int(read_file_meta_info(path).FileMetaInformationGroupLength)
    stream = zlib.compressobj(1, wbits=-zlib.MAX_WBITS)
    inflated = zlib.decompress(small[head:], -zlib.MAX_WBITS)
    body = [stream.compress(inflated)]
    body += [stream.compress(bytes(16 * MIB)) for _ in range(MAX_INFLATED_BYTES // (16 * MIB) + 1)]
    path.write_bytes(small[:head] + b"".join(body) + stream.flush())
    assert path.stat().st_size < 4 * MIB
    return path


def test_a_deflated_bomb_is_refused_before_it_unfolds(deflated: Path) -> None:
    def read() -> None:
        with pytest.raises(UserError, match=r"deflated\.dcm is too large: a deflated file that becomes more than 512"):
            read_image(deflated)

    assert peak_bytes(read) < 32 * MIB


def test_a_bomb_among_the_slices_of_a_series_is_refused(deflated: Path) -> None:
    with pytest.raises(UserError, match="is too large: a deflated file"):
        read_image(deflated.parent)


def test_a_bomb_sent_by_an_agent_is_refused(deflated: Path) -> None:
    with pytest.raises(UserError, match="is too large: a deflated file"):
        decode_image(deflated.read_bytes())


def test_an_ordinary_deflated_file_is_read(tmp_path: Path) -> None:
    from pydicom.data import get_testdata_file

    path = get_testdata_file("CT_small.dcm")
    dataset = dcmread(path)
    dataset.file_meta.TransferSyntaxUID = DeflatedExplicitVRLittleEndian
    dataset.save_as(tmp_path / "deflated.dcm")
    np.testing.assert_array_equal(read_image(tmp_path / "deflated.dcm").pixels, read_image(Path(path)).pixels)


def test_a_frame_larger_than_its_header_says_is_not_decoded(tmp_path: Path) -> None:
    from pydicom.data import get_testdata_file

    file = io.BytesIO()
    Image.new("L", (5000, 5000)).save(file, "JPEG")
    dataset = dcmread(get_testdata_file("CT_small.dcm"))
    dataset.Rows = dataset.Columns = dataset.BitsAllocated = dataset.BitsStored = 8
    dataset.HighBit, dataset.PixelRepresentation = 7, 0
    dataset.file_meta.TransferSyntaxUID = JPEGBaseline8Bit
    dataset.PixelData = encapsulate([file.getvalue()])
    dataset["PixelData"].is_undefined_length = True
    dataset.save_as(tmp_path / "frame.dcm")
    with pytest.raises(UserError, match="its header says 8 x 8 pixels, a frame in it 5000 x 5000"):
        read_image(tmp_path / "frame.dcm")


@pytest.mark.parametrize("kind", ["JPEG", "JPEG2000"])
def test_the_size_of_a_codestream_is_its_own(kind: str) -> None:
    file = io.BytesIO()
    Image.fromarray(np.zeros((20, 30), np.uint8)).save(file, kind, **({"no_jp2": True} if kind == "JPEG2000" else {}))
    assert codestream_size(file.getvalue()) == (20, 30)


@pytest.mark.parametrize("mode", ["L", "RGB"])
def test_a_picture_beyond_the_limit_is_refused_before_decoding(mode: str, tmp_path: Path) -> None:
    side = int(MAX_PIXELS**0.5) + 1
    width, height = side, side
    Image.MAX_IMAGE_PIXELS, before = None, Image.MAX_IMAGE_PIXELS
    try:
        Image.new("1", (width, height)).save(tmp_path / "bomb.png")
    finally:
        Image.MAX_IMAGE_PIXELS = before
    content = bytearray((tmp_path / "bomb.png").read_bytes())
    content[24:26] = bytes([8, {"L": 0, "RGB": 2}[mode]])  # depth and kind of colour in IHDR
    content[29:33] = zlib.crc32(content[12:29]).to_bytes(4, "big")
    (tmp_path / "bomb.png").write_bytes(content)

    def read() -> None:
        with pytest.raises(UserError, match="too large: 9460 x 9460"):
            read_image(tmp_path / "bomb.png")

    with pytest.warns(Image.DecompressionBombWarning):
        assert peak_bytes(read) < MIB


def test_a_transparent_picture_takes_little_more_than_its_values() -> None:
    values, alpha = np.zeros((3000, 1000, 3), np.uint8), np.zeros((3000, 1000), np.uint8)
    needed = peak_bytes(lambda: on_white(values, alpha))
    assert needed < values.nbytes + 40 * MIB  # by eight bytes for each number it was 160 MiB and more


@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.float32, np.float64, np.int64])
@pytest.mark.parametrize("scaling", [(1, 0), (1, -1024), (0.1, 0)])
def test_a_volume_takes_no_more_than_was_counted(
    dtype: type, scaling: tuple[float, float], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    counted = []

    def refuse(path: Path, shape: tuple[int, ...], itemsize: int, peak: float) -> None:
        refuse_too_large(path, shape, itemsize, peak)
        counted.append(np.prod(shape) * peak)

    monkeypatch.setattr("medvista.imaging.nifti.refuse_too_large", refuse)
    image = nibabel.Nifti1Image(
        np.random.default_rng(0).integers(0, 99, (60, 90, 80)).astype(dtype), np.eye(4), dtype=dtype
    )
    image.header.set_slope_inter(*scaling)
    nibabel.save(image, tmp_path / "v.nii.gz")
    peak = peak_bytes(lambda: read_image(tmp_path / "v.nii.gz"))
    assert peak < 1.05 * counted[0] + 2 * MIB


def test_what_takes_too_much_while_it_is_read_is_refused() -> None:
    with pytest.raises(UserError, match=r"reading it takes 8\.5 GiB, more than 8"):
        refuse_too_large(Path("v.nii"), (512, 1024, 1024), 2, MAX_PEAK_BYTES / 2**29 * 1.0625)
