"""Trajectory files: one episode per line (JSONL), the views the policy was shown beside them as PNG files.

The same form serves demonstrations, rollouts and evaluations. Images are named by their content, so an overview shared
by thousands of episodes is kept once, and files may share one images folder.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import contextmanager, suppress
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from medvista.data.atomic import replacing
from medvista.data.confined import confined
from medvista.data.json_fields import FieldError, Fields, plain
from medvista.data.line_log import LineLog
from medvista.data.trajectory_json import trajectory_from_json, trajectory_to_json
from medvista.errors import UserError
from medvista.imaging import to_display
from medvista.types import MedicalImage, Trajectory
from medvista.whole_text import may_hold_half, whole_texts

_CACHED_IMAGES = 4096
# The token stream at the end of a line: most of its text, and of the time that parsing takes. The pattern cannot begin
# within a text, where a quote has a backslash before it, nor in a deeper object, behind which the line would go on.
_NUMBERS = rb"\[[^\]]*\]"
_STREAM = re.compile(
    rb',\s*"stream":\s*\{"token_ids":\s*%b,\s*"loss_mask":\s*%b,\s*"log_probs":\s*%b\}\}(?=\s*$)' % ((_NUMBERS,) * 3)
)
_BY_CONTENT = re.compile(r"(\.\./)*([^/\\]+/)*[0-9a-f]{24}\.png")  # what `_ImageStore` writes
_UNREADABLE = (OSError, SyntaxError, ValueError, Image.DecompressionBombError)  # as Pillow has it of damaged files
_PNG = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR"  # behind it, width and height in four bytes each


def write_trajectories(
    path: Path,
    trajectories: Iterable[Trajectory],
    *,
    images_dir: Path | None = None,
    append: bool = False,
    tokens: bool = False,
) -> int:
    """Write episodes to `path`, one per line, and return how many.

    Args:
        path: the ``.jsonl`` file.
        trajectories: the episodes; a generator is consumed as it goes. Views are kept in 8 bits.
        images_dir: where the views go, ``images/`` beside the file by default.
        append: add to the file: each line is written as a whole, and a last line torn by a killed run is dropped first.
            Without it the file is replaced in one move, once the last episode is written.
        tokens: also store each episode's token ids, loss mask and log-probabilities.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    store = _ImageStore(images_dir or path.parent / "images", relative_to=path.parent)
    count = 0
    with LineLog(path) if append else replacing(path) as file:
        for trajectory in trajectories:
            file.write(_line(trajectory, store, tokens=tokens))
            count += 1
    return count


class TrajectoryWriter:
    """A trajectory file that stays open: each episode is on disk when `write` returns, as a whole line.

    Opening it drops a last line torn by a killed run. For writers that live long; `write_trajectories` says the rest.
    """

    def __init__(self, path: Path, *, images_dir: Path | None = None, tokens: bool = False) -> None:
        path = Path(path)
        path.parent.mkdir(parents=True, exist_ok=True)
        self._store = _ImageStore(images_dir or path.parent / "images", relative_to=path.parent)
        self._tokens = tokens
        self._file = LineLog(path)

    def __enter__(self) -> TrajectoryWriter:
        return self

    def __exit__(self, *exception: Any) -> None:
        self.close()

    def close(self) -> None:
        """End the file."""
        self._file.close()

    def write(self, trajectory: Trajectory) -> None:
        """Add one episode."""
        self._file.write(_line(trajectory, self._store, tokens=self._tokens))


def _line(trajectory: Trajectory, store: _ImageStore, *, tokens: bool) -> bytes:
    values = plain(trajectory_to_json(trajectory, store.save, tokens=tokens))
    return json.dumps(values, ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode() + b"\n"


def read_trajectories(path: Path, *, pixels: bool = True, ids: Collection[str] | None = None) -> Iterator[Trajectory]:
    """The episodes of a file, one after the other, with the views the policy was shown.

    ``sample.images`` are the views of the first observation, since full-size sources are not stored; the token stream
    is empty unless it was written with ``tokens=True``.

    Args:
        path: the ``.jsonl`` file.
        pixels: False leaves every view black at its size, which takes no memory: for counting, not for looking.
        ids: only the episodes of these questions; None gives all.

    Raises:
        UserError: the file is missing, a line is malformed or an image cannot be read; it names file and line.
    """
    load = _read_pixels if pixels else _read_size
    for trajectory, _ in _episodes(Path(path), load, ids):
        yield trajectory


def read_trajectories_with_files(path: Path) -> Iterator[tuple[Trajectory, dict[MedicalImage, Path]]]:
    """The episodes of a file without pixels and tokens, each with the image file of every view: to be shown elsewhere.

    The file may still be growing: a last line that is not whole yet is left out.

    Raises:
        UserError: as `read_trajectories` does.
    """
    path = Path(path)
    for trajectory, values in _episodes(path, _read_size, viewing=True):
        observations = [trajectory.observation, *(turn.observation for turn in trajectory.turns)]
        stored = [values["observation"], *(turn.get("observation") for turn in values["turns"])]
        pairs = zip(observations, stored, strict=True)
        views = [pair for shown, kept in pairs if shown for pair in zip(shown.images, kept["images"], strict=True)]
        yield trajectory, {view: _image_file(path.parent, kept["path"]) for view, kept in views}


def _episodes(
    path: Path, load: Callable[[Path], np.ndarray], ids: Collection[str] | None = None, *, viewing: bool = False
) -> Iterator[tuple[Trajectory, dict[str, Any]]]:
    """Every episode and the values it was read from; with `viewing`, without tokens and a last line cut off."""
    if not path.is_file():
        raise UserError(f"trajectory file {path} does not exist: check the path, or write it first")
    load_pixels = lru_cache(maxsize=_CACHED_IMAGES)(lambda name: load(_image_file(path.parent, name)))
    with path.open("rb") as file:
        for number, line in enumerate(file, start=1):
            if not line.strip():
                continue
            try:
                values = _parse(_STREAM.sub(b"}", line) if viewing else line)
                if viewing and isinstance(values, dict):
                    values.pop("stream", None)  # of a line that another hand wrote in another order
                if ids is None or Fields(values).object("sample").read("id", str) in ids:
                    yield trajectory_from_json(values, load_pixels), values
            except FieldError as error:
                if viewing and not line.endswith(b"\n"):
                    return
                raise UserError(f"trajectory file {path}, line {number}: {error}; mend or delete this line") from error


def _parse(line: bytes) -> Any:
    try:
        values = json.loads(line)
        return whole_texts(values) if may_hold_half(line) else values
    except (ValueError, RecursionError) as error:  # JSONDecodeError and UnicodeDecodeError
        cut = "" if line.endswith(b"\n") else ", perhaps because the run that wrote it was cut off"
        raise FieldError(f"it is not valid JSON ({error}){cut}") from error


# -------------------------------------------------------------------------------------------------------------- images


class _ImageStore:
    """A folder of PNG files named by their content."""

    def __init__(self, folder: Path, relative_to: Path) -> None:
        self._folder = Path(folder)
        self._folder.mkdir(parents=True, exist_ok=True)
        self._prefix = Path(os.path.relpath(folder, relative_to)).as_posix()
        self._stored: set[str] = set()  # saves a look at the disk for an image that comes again

    def save(self, view: MedicalImage) -> str:
        """Keep the view's pixels, and return where, relative to the trajectory file."""
        pixels = np.ascontiguousarray(to_display(view))
        # The shape is part of the content: the same bytes are another image at another width.
        digest = hashlib.sha256(repr(pixels.shape).encode() + pixels.tobytes()).hexdigest()[:24]
        name = f"{digest}.png"
        if name not in self._stored:
            self._write(self._folder / name, pixels)
            self._stored.add(name)
        return f"{self._prefix}/{name}"

    def _write(self, path: Path, pixels: np.ndarray) -> None:
        if path.exists():
            return
        with replacing(path, sync=False) as file:  # named by its content: torn by a loss of power, it is known
            Image.fromarray(pixels).save(file, format="PNG", compress_level=1)


def _image_file(folder: Path, name: str) -> Path:
    """Where a line of a file in `folder` says that a view is.

    Files may share an images folder that lies elsewhere. There only pictures that are named by their content are taken,
    which a stranger who wrote the line could not have known.

    Raises:
        FieldError: it would be read from elsewhere, is missing, or is no file that can be read to an end.
    """
    path = folder / name
    if not _BY_CONTENT.fullmatch(name) or path.is_symlink():
        path = confined(folder, name)
    if not path.is_file():  # a pipe would be waited for, a device never ends
        raise FieldError(f"image {path} does not exist")
    return path


def _read_pixels(path: Path) -> np.ndarray:
    with _opened(path) as image:
        pixels = np.array(image if image.mode in ("L", "RGB") else image.convert("RGB"))
    pixels.flags.writeable = False  # the same array serves every episode that shows this image
    return pixels


def _read_size(path: Path) -> np.ndarray:
    with suppress(OSError), path.open("rb", buffering=0) as file:
        header = file.read(len(_PNG) + 8)
        if header.startswith(_PNG) and len(header) == len(_PNG) + 8:  # many times faster than opening it as an image
            return _black(int.from_bytes(header[-8:-4], "big"), int.from_bytes(header[-4:], "big"))
    with _opened(path) as image:
        return _black(image.width, image.height)


def _black(width: int, height: int) -> np.ndarray:
    return np.broadcast_to(np.uint8(0), (height, width))


@contextmanager
def _opened(path: Path) -> Iterator[Image.Image]:
    try:
        with Image.open(path) as image:
            yield image
    except _UNREADABLE as error:
        raise FieldError(f"image {path} is not a readable image") from error
