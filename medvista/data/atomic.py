"""Files that are there as a whole or not at all."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO


@contextmanager
def replacing(path: Path) -> Iterator[BinaryIO]:
    """A file, opened for writing, that takes the place of `path` in one move when the block ends.

    When the block raises, `path` keeps what it had and nothing is left beside it. The folder must exist.
    """
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            yield file
        os.chmod(name, 0o644)  # mkstemp keeps a file to its owner; what a run leaves behind is to be shared
        os.replace(name, path)
    except BaseException:  # also when interrupted from the keyboard
        Path(name).unlink(missing_ok=True)
        raise
