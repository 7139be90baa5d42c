"""The pictures of a viewer: files beside its page, each once, whatever runs they come from."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
from pathlib import Path

from PIL import Image

_STORED = re.compile(r"[0-9a-f]{24}\.png")  # as trajectory files name them, by their content


class ImageFolder:
    """A folder of PNG files; those of trajectory files are linked into it, which takes neither time nor space.

    Args:
        folder: of the pictures; made here.
        prefix: of the addresses by which the page knows them.
    """

    def __init__(self, folder: Path, prefix: str) -> None:
        self._folder, self._prefix = folder, prefix
        self._kept: dict[Path, str] = {}
        folder.mkdir(parents=True, exist_ok=True)

    def keep(self, path: Path) -> str:
        """Have a picture in the folder, and return its address."""
        if path not in self._kept:
            self._kept[path] = self._take(path)
        return f"{self._prefix}/{self._kept[path]}"

    def _take(self, path: Path) -> str:
        if _STORED.fullmatch(path.name):
            target = self._folder / path.name
            if not target.exists():
                _link_or_copy(path, target)
            return path.name
        # Named by another hand: two runs may mean two pictures by one name, and a browser may not know its format.
        name = f"{hashlib.sha256(path.read_bytes()).hexdigest()[:24]}.png"
        with Image.open(path) as image:
            image.convert("RGB").save(self._folder / name)
        return name


def _link_or_copy(path: Path, target: Path) -> None:
    try:
        os.link(path.resolve() if path.is_symlink() else path, target)
    except OSError:  # another disk, or a file system without links
        shutil.copyfile(path, target)
