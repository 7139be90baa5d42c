"""Paths that a data file names: they may not leave the folder that the file is about.

A table of questions, a trajectory file or a description of a benchmark may come from a stranger, and what it names is
read, shown, copied into the viewer and sent to endpoints. So a name that is absolute, climbs out with ``..`` or goes
through a link to another place is refused. The folders that a person or this code names may be links themselves.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

from medvista.data.json_fields import FieldError


def confined(folder: Path, name: str, roots: Sequence[Path] = ()) -> Path:
    """The path of what a data file calls `name`, which need not be there.

    Args:
        folder: what names are relative to.
        name: as the data file has it.
        roots: folders of which one has to hold it; `folder` alone by default.

    Raises:
        FieldError: it lies elsewhere, or is no name of a file.
    """
    if "\0" in name:
        raise FieldError(f"{_shown(name)} is no name of a file")
    path = folder / name
    allowed = [_resolved(_whole(root)) for root in roots or (folder,)]
    try:
        place = _place(path)
    except (OSError, ValueError, RuntimeError):  # a name of thousands of characters, a circle of links
        raise FieldError(f"{_shown(name)} is no name of a file") from None
    if not any(place == root or root in place.parents for root in allowed):
        where = " or ".join(str(root) for root in roots or (folder,))
        raise FieldError(f"{_shown(name)} lies outside of {where}: what a data file names has to be inside")
    return path


def _place(path: Path) -> Path:
    """Where a file really is. Its folder is looked at once, since a benchmark has its images in few folders."""
    if path.name in ("", "..") or path.is_symlink():
        return path.resolve()
    return _resolved(_whole(path.parent)) / path.name


def _whole(folder: Path) -> str:
    """From the root of the disk, for a cache must not depend on the folder one is in; ``..`` stays, behind a link."""
    return os.path.join(os.getcwd(), folder)


@lru_cache(maxsize=4096)
def _resolved(folder: str) -> Path:
    return Path(os.path.realpath(folder))


def _shown(name: str) -> str:
    text = repr(name)
    return text if len(text) <= 100 else text[:97] + "..."
