"""Where the files of a benchmark are, and reading them with errors a person can mend."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any, TypeVar

from medvista.errors import UserError
from medvista.whole_text import may_hold_half, whole_texts

T = TypeVar("T")

PLACE_AGAIN = "place the official file again"  # what messages about official files advise

_MEND = "set data.root=... or MEDVISTA_DATA to the folder that holds the benchmarks"


def data_root(explicit: str | Path | None = None) -> Path:
    """The folder that holds the benchmarks: `explicit`, else the environment variable ``MEDVISTA_DATA``.

    Raises:
        UserError: neither is given, or the folder is not there.
    """
    given = explicit or os.environ.get("MEDVISTA_DATA")
    if not given:
        raise UserError(f"no data root is given: {_MEND}")
    root = Path(given).expanduser()
    if not root.is_dir():
        raise UserError(f"there is no data root {root}: {_MEND}")
    return root


def benchmark_folder(root: Path, name: str, marker: str) -> Path:
    """The folder of one benchmark, at ``root/name`` or at any tail of that path below `root`, down to `root` itself.

    Args:
        root: what the user pointed at.
        name: where the benchmark lies below the data root, for example ``"slake/Slake1.0"``.
        marker: a file or folder that is only found there.
    """
    parts = Path(name).parts
    candidates = [Path(root).joinpath(*parts[start:]) for start in range(len(parts) + 1)]
    for folder in candidates:
        if (folder / marker).exists():
            return folder
    raise UserError(f"there is no {name} in {root} (no {candidates[0] / marker}): {_MEND}")


def existing(path: Path, mend: str = "") -> Path:
    """The path, which must be a file.

    Args:
        path: of the file.
        mend: what the message advises; that for official files by default.

    Raises:
        UserError: it is missing.
    """
    if not path.is_file():
        mend = mend or f"place the benchmark's complete official files there, or {_MEND}"
        raise UserError(f"the file {path} is missing: {mend}")
    return path


def read_json(path: Path, kind: type[T]) -> T:
    """The content of a JSON file, whose outermost value is a `kind`.

    Raises:
        UserError: the file is missing, is not JSON, or holds something else.
    """
    try:
        written = existing(path).read_bytes()
        content: Any = json.loads(written.decode())
        content = whole_texts(content) if may_hold_half(written) else content
    except (ValueError, RecursionError) as error:  # also bytes that are not UTF-8
        raise UserError(f"{path} is not valid JSON ({error}); {PLACE_AGAIN}") from None
    if not isinstance(content, kind):
        raise UserError(f"{path} must hold a JSON {kind.__name__}; {PLACE_AGAIN}")
    return content
