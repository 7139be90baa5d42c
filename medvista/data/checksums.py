"""Checksums of files that are written once and read much later, as ``sha256sum -c`` takes them."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from pathlib import Path

from medvista.data.atomic import write_whole
from medvista.errors import UserError


def write_checksums(path: Path, files: Iterable[Path]) -> None:
    """Writes the SHA-256 of files into `path`, one per line; the files lie in its folder or below."""
    lines = [f"{_sha256(file)}  {file.relative_to(path.parent).as_posix()}\n" for file in sorted(files)]
    write_whole(path, "".join(lines))


def check_files(path: Path, mend: str) -> None:
    """Holds files to their checksums in `path`; where there are none, as of older runs, nothing is checked.

    Raises:
        UserError: a file is missing or not as it was written; the sentence ends with `mend`.
    """
    if not path.is_file():
        return
    lines: list[list[str]] = []
    try:
        lines = [line.split("  ", 1) for line in path.read_text(encoding="utf-8").splitlines()]
        pairs = [(digest, path.parent / name) for digest, name in lines if len(digest) == 64]
    except (OSError, ValueError):
        pairs = []
    if not pairs or len(pairs) < len(lines):
        raise UserError(f"{path} is damaged: delete it, and the files are taken as they are.")
    for digest, file in pairs:
        if not file.is_file():
            raise UserError(f"{file} is missing: {mend}.")
        if _sha256(file) != digest:
            raise UserError(f"{file} is damaged: its bytes are not those that were written; {mend}.")


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
