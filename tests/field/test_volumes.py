"""NIfTI files as people have them: colour in more dimensions, labels in 8 bits, an sform of zeros."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import nibabel
import numpy as np
import pytest

from medvista.envs import MedicalVQAEnv
from medvista.errors import UserError
from medvista.imaging import read_image, to_display
from medvista.notices import NOTICES
from medvista.types import VQASample

NIFTI = Path(__file__).parent / "nifti"
ON_WHITE = "transparent pictures were shown on white"
QFORM = "the sform has no inverse, so the qform says how the voxels lie"
COLOURS = np.random.default_rng(0).integers(0, 256, (8, 9, 5, 4), dtype=np.uint8)
COLOURS[..., 3] = 255
UPRIGHT = COLOURS[::-1, ::-1, ::-1, :3].transpose(2, 1, 0, 3)


@pytest.fixture(autouse=True)
def _nothing_said_yet() -> Iterator[None]:
    NOTICES.clear()
    yield
    NOTICES.clear()


def said() -> list[str]:
    return [notice.what for notice in NOTICES.collected()]


def save(path: Path, voxels: np.ndarray, intent: str | int = "none") -> Path:
    image = nibabel.Nifti1Image(voxels, np.eye(4))
    image.header.set_intent(intent)
    nibabel.save(image, path)
    return path


def packed(colours: np.ndarray) -> np.ndarray:
    """``[..., C]`` bytes as one value of NIfTI's RGB24 or RGBA32."""
    fields = [(name, "u1") for name in "RGBA"[: colours.shape[-1]]]
    return np.ascontiguousarray(colours).view(fields)[..., 0]


# --------------------------------------------------------------------------------------------------------------- colour


def test_colour_in_four_dimensions_is_a_colour_slice_and_plays() -> None:
    image = read_image(NIFTI / "rgb4d.nii")
    stored = np.asanyarray(nibabel.load(NIFTI / "rgb4d.nii").dataobj)[..., 0]
    colour = np.stack([stored[name] for name in "RGB"], axis=-1)
    assert image.pixels.shape == (9, 8, 3)
    assert np.array_equal(np.sort(image.volume.voxels.reshape(-1, 3), axis=0), np.sort(colour.reshape(-1, 3), axis=0))
    sample = VQASample(
        id="0", benchmark="field", split="test", question="?", answers=("a",), images=(image,), group_id="0"
    )
    observation, _ = MedicalVQAEnv([sample], view_size=32).reset(seed=0)
    assert observation.images[0].pixels.shape == (32, 28, 3)


@pytest.mark.parametrize("dimensions", [3, 4, 5])
@pytest.mark.parametrize("channels", [3, 4])
def test_packed_colour_is_read_in_any_number_of_dimensions(dimensions: int, channels: int, tmp_path: Path) -> None:
    voxels = packed(COLOURS[..., :channels])
    path = save(tmp_path / "image.nii", voxels.reshape(voxels.shape + (1,) * (dimensions - 3)))
    assert np.array_equal(read_image(path).volume.voxels, UPRIGHT)
    assert said() == []


@pytest.mark.parametrize("intent", [0, 1007, 2003])
@pytest.mark.parametrize("channels", [3, 4])
def test_bytes_in_the_dimension_of_vectors_are_colour(intent: int, channels: int, tmp_path: Path) -> None:
    path = save(tmp_path / "image.nii.gz", COLOURS[:, :, :, None, :channels], intent)
    assert np.array_equal(read_image(path).volume.voxels, UPRIGHT)


def test_transparent_voxels_are_white(tmp_path: Path) -> None:
    seen = COLOURS.copy()
    seen[2, 3, 4, 3] = 0
    volume = read_image(save(tmp_path / "image.nii", packed(seen))).volume
    assert volume.voxels[0, 5, 5].tolist() == [255, 255, 255]
    assert (volume.voxels != UPRIGHT).any(axis=-1).sum() == 1
    assert said() == [ON_WHITE]


@pytest.mark.parametrize(
    "voxels",
    [
        packed(COLOURS[..., :3])[..., None].repeat(2, axis=-1),  # two moments in colour
        COLOURS[..., :3],  # the fourth dimension is time
        COLOURS[:, :, :, None, :3].astype(np.float32),  # a field of vectors
    ],
)
def test_what_is_several_volumes_stays_refused(voxels: np.ndarray, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"holds [23] volumes"):
        read_image(save(tmp_path / "image.nii", voxels))


# --------------------------------------------------------------------------------------------------------------- labels


def test_labels_in_8_bits_are_shown_as_their_16_bit_copy() -> None:
    eight, sixteen = (read_image(NIFTI / f"seg_{kind}.nii.gz") for kind in ("uint8", "int16"))
    assert np.array_equal(eight.volume.voxels, sixteen.volume.voxels)
    assert np.array_equal(to_display(eight), to_display(sixteen))
    assert to_display(eight).max() == 255


@pytest.mark.parametrize("labels", [[0, 1], [0, 255], [0, 3, 90], list(range(256))])
def test_a_volume_is_shown_alike_in_8_and_16_bits(labels: list[int], tmp_path: Path) -> None:
    voxels = np.random.default_rng(0).choice(labels, (6, 7, 8))
    eight, sixteen = (read_image(save(tmp_path / f"{k}.nii", voxels.astype(k))) for k in ("uint8", "int16"))
    assert np.array_equal(to_display(eight), to_display(sixteen))


def test_one_small_label_is_seen(tmp_path: Path) -> None:
    voxels = np.zeros((9, 9, 9), np.uint8)
    voxels[4, 4, 4] = 1
    assert to_display(read_image(save(tmp_path / "image.nii", voxels))).max() == 255


def test_no_label_at_all_is_black(tmp_path: Path) -> None:
    assert to_display(read_image(save(tmp_path / "image.nii", np.zeros((3, 4, 5), np.uint8)))).max() == 0


# -------------------------------------------------------------------------------------------------------------- affines


def with_affines(path: Path, sform: np.ndarray, qform: np.ndarray, qform_code: int = 1) -> Path:
    image = nibabel.Nifti1Image(np.arange(60, dtype=np.int16).reshape(3, 4, 5), None)
    image.header.set_qform(qform, code=qform_code)
    image.header["sform_code"] = 1
    image.header["srow_x"], image.header["srow_y"], image.header["srow_z"] = sform[:3]
    with path.open("wb") as file:
        image.header.write_to(file)
        file.write(bytes(352 - file.tell()) + np.asfortranarray(image.dataobj).tobytes(order="F"))
    data = bytearray(path.read_bytes())
    data[344:348], data[108:112] = b"n+1\0", np.float32(352).tobytes()
    path.write_bytes(bytes(data))
    return path


TURNED = np.array([[0.0, -2, 0, 5], [3, 0, 0, 6], [0, 0, 4, 7], [0, 0, 0, 1]])
FLAT = TURNED * [[1], [1], [0], [1]]
TWICE = TURNED[:, [0, 0, 2, 3]]
UNKNOWN = TURNED * [[np.nan], [1], [1], [1]]


@pytest.mark.parametrize("sform", [np.zeros((4, 4)), FLAT, TWICE, UNKNOWN])
def test_an_sform_without_inverse_gives_way_to_a_good_qform(sform: np.ndarray, tmp_path: Path) -> None:
    good = read_image(with_affines(tmp_path / "good.nii", TURNED, TURNED)).volume
    assert said() == []
    mended = read_image(with_affines(tmp_path / "broken.nii", sform, TURNED)).volume
    assert np.array_equal(mended.voxels, good.voxels)
    assert mended.spacing_mm == pytest.approx(good.spacing_mm)
    np.testing.assert_allclose(mended.to_patient, good.to_patient, atol=1e-5)
    assert said() == [QFORM]


def test_an_sform_without_inverse_and_no_qform_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no inverse"):
        read_image(with_affines(tmp_path / "broken.nii", np.zeros((4, 4)), TURNED, qform_code=0))
