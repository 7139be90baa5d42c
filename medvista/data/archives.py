"""Unpacking the zip files of benchmarks: as a whole or not at all, and never outside their folder."""

from __future__ import annotations

import shutil
import zipfile
from pathlib import Path, PurePosixPath

from medvista.errors import UserError

_NOT_CONTENT = ("__MACOSX", ".DS_Store")


def unpack_zip(archive: Path, folder: Path) -> int:
    """Unpack an archive as `folder`, without the one folder that may be around all its files.

    Args:
        archive: the zip file.
        folder: what it becomes; it must not exist yet.

    Returns:
        The number of files.

    Raises:
        UserError: the archive is damaged, or names files outside itself.
    """
    partial = folder.with_name(f".{folder.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)  # what an interrupted run left
    try:
        with zipfile.ZipFile(archive) as content:
            targets = _targets(content, archive)
            for member, target in targets.items():
                path = partial / target
                path.parent.mkdir(parents=True, exist_ok=True)
                with content.open(member) as source, path.open("wb") as file:
                    shutil.copyfileobj(source, file, 2**20)
    except (zipfile.BadZipFile, NotImplementedError, RuntimeError, EOFError) as error:
        raise UserError(f"{archive} cannot be unpacked ({error}); fetch it again") from None
    partial.mkdir(parents=True, exist_ok=True)
    partial.rename(folder)
    return len(targets)


def _targets(content: zipfile.ZipFile, archive: Path) -> dict[str, PurePosixPath]:
    """Where each file of the archive goes below the folder."""
    names = [info.filename for info in content.infolist() if not info.is_dir()]
    paths = {name: PurePosixPath(name) for name in names if not any(part in name for part in _NOT_CONTENT)}
    for name, path in paths.items():
        if path.is_absolute() or ".." in path.parts or "\\" in name or ":" in path.parts[0]:
            raise UserError(f"{archive} names a file outside itself ({name}): do not trust it")
    tops = {path.parts[0] for path in paths.values()}
    inside_one = len(tops) == 1 and all(len(path.parts) > 1 for path in paths.values())
    return {name: PurePosixPath(*path.parts[1:]) if inside_one else path for name, path in paths.items()}
