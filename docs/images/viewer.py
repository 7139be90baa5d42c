"""Photographs the viewer for `docs/viewer.md`: `python -m docs.images.viewer RUN [where to write it]`, with a Chromium.

RUN is one that `python -m experiments.run` left behind: the page shows two of its arms, `ARMS`, on a phantom question
that only the first got right.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path
from urllib.parse import urlencode

from benchmarks.chromium import open_chromium
from medvista.evaluation.viewer import find_sources, write_viewer

ARMS = ("sft_rl", "sft")


def photograph(run: Path, path: Path) -> None:
    """Save the viewer of a run, two arms side by side, as a PNG file."""
    with tempfile.TemporaryDirectory() as folder, open_chromium() as page:
        address = write_viewer(Path(folder), find_sources(run, run.name)).as_uri()
        first, second = ARMS
        chosen = {
            "arm": first,
            "mode": "greedy",
            "family": "attribute",
            "beside": f"{second}, greedy",
            "outcome": "first",
        }
        page.open(f"{address}#{urlencode(chosen)}", width=1400, height=1030)
        page.wait_for("[...document.querySelectorAll('.episode img')].filter((i) => i.naturalWidth).length >= 4")
        page.press("ArrowRight")
        page.screenshot(path)


if __name__ == "__main__":
    where = Path(sys.argv[2]) if len(sys.argv) > 2 else Path(__file__).with_suffix(".png")
    photograph(Path(sys.argv[1]), where)
