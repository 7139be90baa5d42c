"""Fetching a benchmark from the Hugging Face hub, and unpacking what was fetched or placed by hand."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

from medvista.data.archives import unpack_zip
from medvista.data.atomic import replacing
from medvista.data.benchmark_check import MANIFEST
from medvista.data.hub_rows import UNPACKED
from medvista.data.parquet_rows import unpack_parquet
from medvista.data.registry import HubSource
from medvista.errors import UserError

Say = Callable[[str], Any]


def is_placed(source: HubSource, root: Path) -> bool:
    """Whether files of the repository are there, to be unpacked."""
    folder = root / source.folder
    packed = [folder / name for name in source.archives]
    return any(path.is_file() for path in packed) or any(_parts(folder, p) for p in source.tables.values())


def fetch(source: HubSource, root: Path, revision: str = "main", say: Say = print) -> None:
    """Download the files of a benchmark, and note their revision and checksums beside them.

    An interrupted download goes on where it stopped.

    Raises:
        UserError: the hub cannot be reached, or a file does not have the checksum the hub gives for it.
    """
    from huggingface_hub import HfApi, snapshot_download

    folder, endpoint = root / source.folder, os.environ.get("HF_ENDPOINT")  # a mirror of the hub, where one is set
    say(f"fetching {', '.join(source.patterns)} of {source.repo} into {folder}")
    try:
        info = HfApi(endpoint=endpoint).dataset_info(source.repo, revision=revision, files_metadata=True)
        sha256 = {
            file.rfilename: file.lfs.sha256
            for file in info.siblings or ()
            if file.lfs and any(fnmatch(file.rfilename, pattern) for pattern in source.patterns)
        }
        snapshot_download(
            source.repo,
            repo_type="dataset",
            revision=info.sha,
            local_dir=folder,
            allow_patterns=list(source.patterns),
            endpoint=endpoint,
        )
    except Exception as error:  # its clients raise errors of httpx, of requests, of the hub and of the system
        sentence = " ".join(str(error).split())[:200]
        raise UserError(f"{source.repo} cannot be fetched ({type(error).__name__}: {sentence})") from error
    for name, expected in sha256.items():
        if (folder / name).is_file() and _sha256(folder / name) != expected:
            raise UserError(f"{folder / name} has another checksum than the hub's: delete it and fetch it again")
    with replacing(folder / MANIFEST) as file:
        content = {"repo": source.repo, "revision": info.sha, "sha256": sha256}
        file.write(json.dumps(content, indent=2).encode() + b"\n")


def unpack(source: HubSource, root: Path, say: Say = print) -> None:
    """Unpack zip archives and parquet files that are there and not unpacked yet.

    Raises:
        UserError: one is damaged, or pyarrow is missing.
    """
    folder = root / source.folder
    for name, target in source.archives.items():
        if (folder / name).is_file() and not (folder / target).exists():
            say(f"unpacking {folder / name}")
            unpack_zip(folder / name, folder / target)
    for split, pattern in source.tables.items():
        parts = _parts(folder, pattern)
        if parts and not (folder / UNPACKED / f"{split}.jsonl").is_file():
            rows = unpack_parquet(parts, folder / UNPACKED, split)
            say(f"unpacked {rows:,} rows of {split} into {folder / UNPACKED}")


def _parts(folder: Path, pattern: str) -> list[Path]:
    """The parquet files of a split, in the order of their parts."""
    return sorted(path for path in folder.glob(pattern) if UNPACKED not in path.parts)


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
