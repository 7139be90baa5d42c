"""Fixtures of the tools with weights."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def tiny_checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """From the name of a backend to the folder of a tiny checkpoint of it, written on first use."""
    from tests.tools import tiny_checkpoints

    @cache
    def save(backend: str) -> Path:
        family = "sam" if backend == "medsam" else backend
        return getattr(tiny_checkpoints, f"save_{family}")(tmp_path_factory.mktemp(backend))

    return save
