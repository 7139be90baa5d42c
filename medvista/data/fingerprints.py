"""The fingerprints of many images, worked out once: files that did not change are looked up in a cache."""

from __future__ import annotations

import json
from collections.abc import Iterable
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
    samples: Iterable[VQASample],
    cache: Path | None = None,
    workers: int = 4,
    *,
    unreadable: dict[ImageKey, str] | None = None,
) -> dict[ImageKey, Fingerprint]:
    """The fingerprint of each image of the samples, by `image_key`.

    Args:
        samples: whose images are read; an image that several samples share is read once.
        cache: a JSON file that remembers the fingerprints of files by path, size and time of change.
        workers: threads that decode.
        unreadable: takes the images that cannot be read, and why; None lets the first of them raise.

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
        made = dict(zip((key for key, _ in unknown), pool.map(_outcome, (image for _, image in unknown)), strict=True))
    for key, outcome in made.items():
        if isinstance(outcome, Fingerprint):
            found[key] = outcome
        elif unreadable is None:
            raise outcome
        else:
            unreadable[key] = str(outcome)
    if cache is not None and unknown:
        made_now = [(image, found[key]) for key, image in unknown if key in found]
        files = {name: value for image, value in made_now if isinstance(image, Path) and (name := _cache_name(image))}
        _write_cache(cache, known | files)
    return {key: found[key] for key in images if key in found}


def _outcome(image: MedicalImage | Path) -> Fingerprint | UserError:
    try:
        return _fingerprint(image)
    except UserError as error:
        return error
    except OSError as error:  # of the disk, or a folder without rights
        return UserError(f"the image {image} cannot be read: {error.strerror or error}")


def _fingerprint(image: MedicalImage | Path) -> Fingerprint:
    # Not through the cache of opened images: a pass over a whole benchmark would only flush it.
    if isinstance(image, Path) and not image.exists():
        raise UserError(f"the image {image} is missing: place the benchmark's complete files there")
    return fingerprint(image if isinstance(image, MedicalImage) else read_image(image))


def _cache_name(path: Path) -> str:
    """What the cache calls a file; empty for what is none."""
    if not path.is_file():
        return ""
    status = path.stat()
    return f"{path.resolve()}|{status.st_size}|{status.st_mtime_ns}"


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
