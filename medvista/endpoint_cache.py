"""Answers of an endpoint on disk, under the hash of what was asked."""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any


class AnswerCache:
    """One small file an answer; safe between threads and processes, and in a folder that several runs share.

    What was asked is not kept, only its hash: neither question nor image can be read from the folder.

    Args:
        folder: made when the first answer is kept.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = Path(folder)

    def get(self, asked: Mapping[str, Any]) -> dict[str, Any] | None:
        """The answer kept for exactly this, or None."""
        try:
            kept = json.loads(self._path(asked).read_text(encoding="utf-8"))
        except (OSError, ValueError):  # not there, or damaged: asked again
            return None
        return kept if isinstance(kept, dict) else None

    def put(self, asked: Mapping[str, Any], answer: Mapping[str, Any]) -> None:
        """Keep an answer, in one move: a reader finds it whole or not at all."""
        path = self._path(asked)
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=".answer-")
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            json.dump(dict(answer), file)
        os.replace(name, path)

    def _path(self, asked: Mapping[str, Any]) -> Path:
        name = hashlib.sha256(json.dumps(asked, sort_keys=True).encode()).hexdigest()
        return self.folder / name[:2] / f"{name}.json"
