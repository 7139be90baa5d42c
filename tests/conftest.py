"""Fixtures that several folders of tests share."""

import os
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def data_root() -> Path:
    """The folder of real files: ``$MEDVISTA_DATA``, else ``../shared/data``; the test is skipped where neither is there."""
    root = Path(os.environ.get("MEDVISTA_DATA") or Path(__file__).parents[2] / "shared" / "data")
    if not root.is_dir():
        pytest.skip(f"no real data at {root}: set MEDVISTA_DATA to the folder that holds slake/ and vqa_rad/")
    return root
