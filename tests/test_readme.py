"""The README's first screen keeps its promises: two commands that work as they stand, links that lead somewhere."""

from __future__ import annotations

import re
import runpy
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

ROOT = Path(__file__).parent.parent
PAGES = [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")]


def blocks(language: str) -> list[str]:
    """The README's fenced blocks in one language."""
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    return re.findall(rf"^```{language}\n(.*?)^```", readme, flags=re.MULTILINE | re.DOTALL)


def test_the_first_block_runs_the_main_job_and_the_second_the_tests() -> None:
    job, tests = blocks("bash")[:2]
    setup = "python3 -m venv .venv && .venv/bin/pip install -q -e "
    assert job == f"{setup}. && .venv/bin/python -m experiments.run\n"
    assert tests == f'{setup}".[test]" && .venv/bin/python -m pytest -q -n 2\n'


def test_the_first_screen_says_what_it_is_not_for() -> None:
    first_screen = (ROOT / "README.md").read_text().partition("\n## ")[0]
    assert "for research" in first_screen
    assert "clinical" in first_screen


@pytest.mark.parametrize("example", blocks("python"))
def test_an_example_prints_what_its_comments_say(example: str) -> None:
    done = subprocess.run([sys.executable, "-c", example], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == re.findall(r"^print\(.*\)  # (.*)$", example, flags=re.MULTILINE)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_relative_links_lead_to_files(page: Path) -> None:
    links = re.findall(r"\]\(([^)#\s]+)", page.read_text(encoding="utf-8"))
    missing = [link for link in links if "://" not in link and not (page.parent / link).exists()]
    assert not missing


def test_the_picture_of_an_episode_is_drawn_by_the_script_beside_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn = tmp_path / "episode.png"
    monkeypatch.setattr(sys, "argv", ["episode.py", str(drawn)])
    runpy.run_path(str(ROOT / "docs" / "images" / "episode.py"), run_name="__main__")
    with Image.open(drawn) as fresh, Image.open(ROOT / "docs" / "images" / "episode.png") as stored:
        assert fresh.size == stored.size
        assert fresh.mode == "RGB"
    assert drawn.stat().st_size < 200_000  # every clone and every visit of the README loads it
