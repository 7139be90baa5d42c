"""A run that is killed at random moments, and goes on each time, ends with what it would have ended with.

``MEDVISTA_KILLS=20 python -m pytest -m "faults and slow" tests/faults/test_kills.py -s`` takes as many kills as wanted.
"""

from __future__ import annotations

import csv
import json
import os
import random
import re
import runpy
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

pytestmark = [pytest.mark.faults, pytest.mark.slow]

TINY = runpy.run_path(str(Path(__file__).parents[1] / "app" / "conftest.py"))["TINY"]
SMALL = ["arms=[sft,sft_rl]", "sft.steps=30", "rl.updates=3", "trainer.checkpoint_every=2", "trainer.validate_every=5"]
_VARIES = re.compile(r"seconds|crc32|^speed/")  # wall times, and the checksums of lines that hold them
KILLS = int(os.environ.get("MEDVISTA_KILLS", "3"))


SHORT = ["sft.steps=12", "rl.updates=2", "evaluation.modes=[greedy]", "evaluation.counterfactuals=[]"]
TWO = [*SHORT, "trainer.devices=2", "trainer.strategy=ddp"]


def start(run: Path, cache: Path, *more: str) -> subprocess.Popen[bytes]:
    command = [*TINY, *SMALL, *more, f"output_dir={run}", f"cache_dir={cache}", "resume=true"]
    log = (run.parent / f"{run.name}.log").open("ab")
    return subprocess.Popen(
        [sys.executable, "-m", "medvista.app.commands.run", *command],
        stdout=log,
        stderr=subprocess.STDOUT,
        start_new_session=True,  # so that all processes of a run can be killed together
    )


def without_times(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: without_times(item) for name, item in value.items() if not _VARIES.search(name)}
    return [without_times(item) for item in value] if isinstance(value, list) else value


def left_by(run: Path) -> dict[str, Any]:
    """All that must be the same: weights, curves, episodes, answers."""
    found: dict[str, Any] = {}
    for path in sorted(run.rglob("*")):
        name = str(path.relative_to(run))
        if path.name == "model.safetensors":
            found[name] = path.read_bytes()
        elif path.name == "metrics.csv":
            with path.open() as file:
                found[name] = [without_times(row) for row in csv.DictReader(file)]
        elif path.suffix == ".jsonl":
            found[name] = [without_times(json.loads(line)) for line in path.read_bytes().splitlines()]
        elif path.name == "outcomes.json":
            found[name] = without_times(json.loads(path.read_bytes()))
    return found


def killed_at_random(folder: Path, kills: int, seconds: float, *more: str) -> int:
    """Kills a run as often as said and lets it end then; how many of the kills came while it was under way."""
    chance = random.Random(kills)
    killed = 0
    for _ in range(kills):
        process = start(folder / "killed", folder / "cache-2", *more)
        try:
            process.wait(chance.uniform(0.2, 0.8) * seconds)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            killed += 1
    assert start(folder / "killed", folder / "cache-2", *more).wait() == 0
    return killed


def assert_same(one: Path, other: Path) -> None:
    straight, resumed = left_by(one), left_by(other)
    assert list(resumed) == list(straight)
    for name in straight:
        assert resumed[name] == straight[name], name


@pytest.mark.parametrize(("kills", "more"), [(KILLS, []), (max(KILLS // 2, 1), TWO)], ids=["one", "two"])
def test_a_run_killed_at_random_moments_ends_as_if_it_had_not_been(kills: int, more: list[str], tmp_path: Path) -> None:
    began = time.monotonic()
    assert start(tmp_path / "straight", tmp_path / "cache-1", *more).wait() == 0
    seconds = time.monotonic() - began
    killed = killed_at_random(tmp_path, kills, seconds, *more)
    print(f"{killed} of {kills} kills came while the run was under way, which takes {seconds:.0f} s")
    assert killed > 0
    assert_same(tmp_path / "straight", tmp_path / "killed")
