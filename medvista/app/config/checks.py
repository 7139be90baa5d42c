"""Whether a run can write where its configuration says, asked before anything is spent on it."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from medvista.app.config.schema import ExperimentConfig
from medvista.errors import UserError


def check_writable(config: ExperimentConfig) -> None:
    """Tries the folders that a run writes; leaves nothing behind.

    Raises:
        UserError: a folder is a file, or cannot be made, written, or moved aside.
    """
    _check_folder("output_dir", config.output_dir)
    # An earlier run in the same folder is moved aside.
    if not config.resume and config.output_dir.is_dir() and any(config.output_dir.iterdir()):
        if os.path.ismount(config.output_dir):
            raise UserError(
                f"output_dir={config.output_dir} holds files and, as a mount point, cannot be moved aside: "
                "give a folder inside it."
            )
        _check_folder("output_dir", config.output_dir.absolute().parent)
    _check_folder("cache_dir", config.cache_dir)
    if config.policy.endpoint is not None and config.policy.endpoint.cache_dir is not None:
        _check_folder("policy.endpoint.cache_dir", config.policy.endpoint.cache_dir)


def _check_folder(key: str, folder: Path) -> None:
    """Writes a nameless file where the folder is, or would be made."""
    existing = folder.absolute()
    while not os.path.lexists(existing):
        existing = existing.parent
    if not existing.is_dir():
        raise UserError(f"{key}={folder} cannot be a folder: {existing} is a file; give another {key}.")
    try:
        with tempfile.TemporaryFile(dir=existing) as file:
            file.write(b"x")
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise UserError(f"{key}={folder} cannot be written ({existing}: {reason}); give another {key}.") from None
