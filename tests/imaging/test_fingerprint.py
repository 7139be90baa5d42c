"""Fingerprints: the same for copies, far apart for other pictures."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
import scipy.fft
from PIL import Image, ImageEnhance

from medvista.data.phantom_vqa import phantom_samples
from medvista.imaging import fingerprint, open_image, perceptual_hash, to_display
from medvista.imaging.fingerprint import HASH_BITS, hamming, near_pairs, nearest
from medvista.types import MedicalImage, Window


def slices(count: int) -> list[np.ndarray]:
    """8-bit pictures of phantoms."""
    samples = phantom_samples("test", images=count)
    images = {id(sample.images[0]): open_image(sample.images[0]) for sample in samples}
    return [to_display(image) for image in list(images.values())[:count]]


def code(pixels: np.ndarray) -> np.ndarray:
    return perceptual_hash(MedicalImage(pixels=pixels))


def distance(a: np.ndarray, b: np.ndarray) -> int:
    return int(hamming(code(a)[None], code(b)[None])[0, 0])


def recompressed(pixels: np.ndarray) -> np.ndarray:
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "JPEG", quality=40)
    return np.asarray(Image.open(file))


def test_the_hash_is_phash_of_the_imagehash_package() -> None:
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 256, (90, 130), dtype=np.uint8)
    small = np.asarray(Image.fromarray(pixels).resize((64, 64), Image.Resampling.LANCZOS)).astype(float)
    low = scipy.fft.dct(scipy.fft.dct(small, axis=0), axis=1)[:16, :16]  # imagehash.phash(image, hash_size=16)
    expected = np.packbits(low > np.median(low))
    assert (code(pixels).view(np.uint8) == expected).all()


@pytest.mark.parametrize("change", ["recompressed", "resized", "brighter", "as RGB"])
def test_a_copy_stays_near_while_other_slices_are_far(change: str) -> None:
    pictures = slices(4)
    for pixels in pictures:
        picture = Image.fromarray(pixels)
        copies = {
            "recompressed": recompressed(pixels),
            "resized": np.asarray(picture.resize((pixels.shape[1] // 2, pixels.shape[0] // 2))),
            "brighter": np.asarray(ImageEnhance.Brightness(picture).enhance(1.15)),
            "as RGB": np.asarray(picture.convert("RGB")),
        }
        own = distance(pixels, copies[change])
        others = [distance(pixels, other) for other in pictures if other is not pixels]
        assert own <= 20 < min(others)


def test_the_digest_is_of_the_decoded_pixels_whatever_the_file(tmp_path: Path) -> None:
    pixels = np.arange(48, dtype=np.uint8).reshape(6, 8)
    for name in ("a.png", "b.tiff", "c.bmp"):
        Image.fromarray(pixels).save(tmp_path / name)
    prints = {fingerprint(open_image(tmp_path / name)).digest for name in ("a.png", "b.tiff", "c.bmp")}
    assert len(prints) == 1
    other = fingerprint(MedicalImage(pixels=pixels.reshape(8, 6)))  # the same bytes, another picture
    assert other.digest not in prints


def test_native_grey_values_are_hashed_as_they_are_shown() -> None:
    native = MedicalImage(
        pixels=np.arange(-1000, 1000, 2, dtype=np.int16).reshape(25, 40), window=Window(centre=0, width=400)
    )
    assert fingerprint(native).code != fingerprint(MedicalImage(pixels=native.pixels)).code


def test_nearest_and_near_pairs_agree_with_counting_bits() -> None:
    rng = np.random.default_rng(1)
    keys = rng.integers(0, 2**63, (30, 4)).astype(np.uint64)
    queries = keys[[7, 3]] ^ np.array([[1, 0, 0, 0], [3, 0, 0, 8]], dtype=np.uint64)  # one and three bits away
    indices, distances = nearest(queries, keys)
    assert (indices.tolist(), distances.tolist()) == ([7, 3], [1, 3])
    both = np.concatenate([keys, queries])
    assert near_pairs(both, 3) == [(3, 31), (7, 30)]
    counted = [[sum(int(x ^ y).bit_count() for x, y in zip(a, b, strict=True)) for b in keys] for a in queries]
    assert hamming(queries, keys).tolist() == counted
    assert hamming(keys[:1], ~keys[:1])[0, 0] == HASH_BITS
