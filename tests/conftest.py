"""Fixtures that several folders of tests share."""

import os
from collections.abc import Generator
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def data_root() -> Path:
    """The folder of real files, ``$MEDVISTA_DATA`` or else ``../shared/data``; without it the test is skipped."""
    root = Path(os.environ.get("MEDVISTA_DATA") or Path(__file__).parents[2] / "shared" / "data")
    if not root.is_dir():
        pytest.skip(f"no real data at {root}: set MEDVISTA_DATA to the folder that holds slake/ and vqa_rad/")
    return root


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Where ``MEDVISTA_REQUIRE_DATA=1`` says the real files are at hand (CI), a test that skips them has failed."""
    report = yield
    needs_data = "data_root" in getattr(item, "fixturenames", ()) or item.get_closest_marker("data") is not None
    skipped = report.skipped and not hasattr(report, "wasxfail")
    if skipped and needs_data and os.environ.get("MEDVISTA_REQUIRE_DATA") == "1":
        reason = report.longrepr[-1] if isinstance(report.longrepr, tuple) else report.longrepr
        report.outcome, report.longrepr = "failed", f"MEDVISTA_REQUIRE_DATA=1 and yet: {reason}"
    return report
