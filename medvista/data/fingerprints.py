"""The fingerprints of many images, worked out once: files that did not change are looked up in a cache."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeAlias

from medvista.data.atomic import replacing
from medvista.errors import UserError
from medvista.imaging import Fingerprint, fingerprint, read_image
from medvista.types import MedicalImage, VQASample

ImageKey: TypeAlias = str | int  # a file's path, or the id of an image in memory


def image_key(image: MedicalImage | Path) -> ImageKey:
    """Tells the images of samples apart without opening them."""
    return str(image) if isinstance(image, Path) else id(image)


def fingerprint_images(
    samples: Iterable[VQASample], cache: Path | None = None, workers: int = 4
) -> dict[ImageKey, Fingerprint]:
    """The fingerprint of each image of the samples, by `image_key`.

    Args:
        samples: whose images are read; an image that several samples share is read once.
        cache: a JSON file that remembers the fingerprints of files by path, size and time of change.
        workers: threads that decode.

    Raises:
        UserError: an image is missing or cannot be decoded.
    """
    images = {image_key(image): image for sample in samples for image in sample.images}
    known = _read_cache(cache)
    found: dict[ImageKey, Fingerprint] = {}
    unknown: list[tuple[ImageKey, MedicalImage | Path]] = []
    for key, image in images.items():
        if isinstance(image, Path) and (name := _cache_name(image)) in known:
            found[key] = known[name]
        else:
            unknown.append((key, image))
    with ThreadPoolExecutor(max(workers, 1)) as pool:
        made = list(pool.map(_fingerprint, [image for _, image in unknown]))
    found |= {key: value for (key, _), value in zip(unknown, made, strict=True)}
    if cache is not None and unknown:
        _write_cache(cache, known | _by_name(unknown, made))
    return {key: found[key] for key in images}


def _fingerprint(image: MedicalImage | Path) -> Fingerprint:
    # Not through the cache of opened images: a pass over a whole benchmark would only flush it.
    return fingerprint(image if isinstance(image, MedicalImage) else read_image(image))


def _cache_name(path: Path) -> str:
    if not path.is_file():
        raise UserError(f"the image {path} is missing: place the benchmark's complete files there")
    status = path.stat()
    return f"{path.resolve()}|{status.st_size}|{status.st_mtime_ns}"


def _by_name(
    images: Sequence[tuple[ImageKey, MedicalImage | Path]], made: Sequence[Fingerprint]
) -> dict[str, Fingerprint]:
    pairs = zip(images, made, strict=True)
    return {_cache_name(image): value for (_, image), value in pairs if isinstance(image, Path)}


def _read_cache(path: Path | None) -> dict[str, Fingerprint]:
    """What the cache knows; a damaged one knows nothing and is overwritten."""
    if path is None or not path.is_file():
        return {}
    try:
        rows = json.loads(path.read_text(encoding="utf-8"))
        return {name: Fingerprint(digest, tuple(code)) for name, (digest, code) in rows.items()}
    except (ValueError, TypeError, AttributeError):
        return {}


def _write_cache(path: Path, known: dict[str, Fingerprint]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as file:
        file.write(json.dumps({name: [value.digest, value.code] for name, value in known.items()}).encode())
