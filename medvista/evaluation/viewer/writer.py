"""Writes the viewer: the page as it is shipped, and a run's episodes as scripts that it loads.

They are scripts, since a page opened from disk may load scripts and pictures, but may not read JSON files::

    index.html  viewer.css  *.js     the page
    data/index.js                    what the list needs of every episode
    data/episodes-<n>.js             SHARD_SIZE episodes in full, loaded when one of them is opened
    images/                          the pictures
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import quote

from medvista.data.atomic import replacing
from medvista.data.trajectories import read_trajectories_with_files
from medvista.errors import UserError
from medvista.evaluation.viewer.images import ImageFolder
from medvista.evaluation.viewer.records import Index, Record, episode_record, to_json_text
from medvista.evaluation.viewer.sources import Source
from medvista.types import MedicalImage

SHARD_SIZE = 32  # episodes; a file of 100 kB or so, which opens at once

_PAGE = Path(__file__).parent / "page"
_FILES = ("report.html", "results.json")  # of a run, to which the viewer links
_MARK = "viewer.css"  # a folder that has it was written here


def write_viewer(folder: Path, sources: Sequence[Source], on_read: Callable[[Source], object] = lambda _: None) -> Path:
    """Write the viewer of some trajectory files, in the place of what it may have written there before.

    Args:
        folder: of the page; new, empty, or an earlier viewer.
        sources: the files, in the order in which arms are offered.
        on_read: told of each file that has been read.

    Returns:
        The page.

    Raises:
        UserError: the folder holds something else or cannot be written to, or a trajectory file is wrong.
    """
    folder = Path(folder)
    try:
        _clear(folder)
        for asset in _PAGE.iterdir():
            shutil.copyfile(asset, folder / asset.name)
        shards, index = _Shards(folder / "data"), Index()
        images = ImageFolder(folder / "images", "images")
        for source in sources:
            for trajectory, files in read_trajectories_with_files(source.path):
                record = episode_record(source, trajectory, partial(_address, images, files))
                index.add(source, record, trajectory)
                shards.add(record)
            on_read(source)
        shards.flush()
    except OSError as error:
        raise UserError(f"the viewer cannot be written to {folder}: {error}; say where with --out FOLDER") from error
    if not index.episodes:
        raise UserError(f"no episode is in {', '.join(str(source.path) for source in sources)}: has the run begun?")
    written = datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC")
    beside = {"shard_size": SHARD_SIZE, "written": written, "files": _files_of_runs(folder, sources)}
    _write_script(folder / "data", "index", {**index.to_json(), **beside})
    return folder / "index.html"


def _files_of_runs(folder: Path, sources: Sequence[Source]) -> list[tuple[str, str]]:
    """Name and address, from the viewer's folder, of the pages that the runs have of their own."""
    runs = {source.folder: source.run for source in sources if source.folder is not None}
    return [
        (f"{run}: {name}" if len(runs) > 1 else name, quote(os.path.relpath(run_folder / name, folder)))
        for run_folder, run in runs.items()
        for name in _FILES
        if (run_folder / name).is_file()
    ]


class _Shards:
    """Records, written by the shard as they come, so that no run is too long for memory."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._folder, self._records, self._count = folder, list[Record](), 0

    def add(self, record: Record) -> None:
        self._records.append(record)
        if len(self._records) == SHARD_SIZE:
            self.flush()

    def flush(self) -> None:
        if self._records:
            _write_script(self._folder, f"episodes-{self._count}", self._records)
            self._records, self._count = [], self._count + 1


def _address(images: ImageFolder, files: Mapping[MedicalImage, Path], view: MedicalImage) -> str:
    return images.keep(files[view])


def _write_script(folder: Path, name: str, values: Any) -> None:
    """A script that hands JSON over as a text: parsed as such, not even a key named ``__proto__`` does anything."""
    with replacing(folder / f"{name}.js") as file:
        file.write(f"receive({json.dumps(name)},{json.dumps(to_json_text(values))});\n".encode("ascii"))


def _clear(folder: Path) -> None:
    """Make the folder, or empty it of an earlier viewer."""
    if folder.exists() and not folder.is_dir():
        raise UserError(f"{folder} is a file: choose a folder for the viewer with --out FOLDER")
    if folder.exists() and any(folder.iterdir()) and not (folder / _MARK).is_file():
        raise UserError(f"{folder} holds something else than a viewer: choose an empty folder with --out FOLDER")
    folder.mkdir(parents=True, exist_ok=True)
    for part in ("data", "images"):
        shutil.rmtree(folder / part, ignore_errors=True)
