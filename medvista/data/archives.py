"""Unpacking the zip files of benchmarks: as a whole or not at all, and never outside their folder."""

from __future__ import annotations

import lzma
import shutil
import zipfile
import zlib
from pathlib import Path, PurePosixPath

from medvista.errors import UserError

_NOT_CONTENT = ("__MACOSX", ".DS_Store")
_DAMAGED = (zipfile.BadZipFile, NotImplementedError, RuntimeError, EOFError, zlib.error, lzma.LZMAError)
_SUSPECT_BYTES, _SUSPECT_GROWTH = 2**30, 100  # pictures and their tables grow tenfold at most


def unpack_zip(archive: Path, folder: Path) -> int:
    """Unpack an archive as `folder`, without the one folder that may be around all its files.

    Args:
        archive: the zip file.
        folder: what it becomes; it must not exist yet.

    Returns:
        The number of files.

    Raises:
        UserError: the archive is damaged, names files outside itself, or becomes larger than it may or than the disk.
    """
    partial = folder.with_name(f".{folder.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)  # what an interrupted run left
    try:
        with zipfile.ZipFile(archive) as content:
            targets = _targets(content, archive)
            _refuse_too_large(content, archive, folder)
            for member, target in targets.items():
                path = partial / target
                path.parent.mkdir(parents=True, exist_ok=True)
                with content.open(member) as source, path.open("wb") as file:
                    shutil.copyfileobj(source, file, 2**20)
    except _DAMAGED as error:
        shutil.rmtree(partial, ignore_errors=True)
        raise UserError(f"{archive} cannot be unpacked ({error}); fetch it again") from None
    except OSError as error:
        shutil.rmtree(partial, ignore_errors=True)
        raise UserError(f"{archive} cannot be unpacked into {folder}: {error.strerror or error}") from None
    partial.mkdir(parents=True, exist_ok=True)
    partial.rename(folder)
    return len(targets)


def _refuse_too_large(content: zipfile.ZipFile, archive: Path, folder: Path) -> None:
    """Looks at the sizes that an archive states; of each file, no more than that is read."""
    size, packed = sum(info.file_size for info in content.infolist()), archive.stat().st_size
    if size > max(_SUSPECT_BYTES, _SUSPECT_GROWTH * packed):
        raise UserError(
            f"{archive} would become {size / 2**30:,.0f} GiB, {size // max(packed, 1):,} times its size: "
            "do not trust it"
        )
    place = next(parent for parent in folder.absolute().parents if parent.is_dir())
    if size > (free := shutil.disk_usage(place).free):
        raise UserError(f"{archive} becomes {size / 2**30:,.1f} GiB, but {place} has {free / 2**30:,.1f} GiB left")


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
