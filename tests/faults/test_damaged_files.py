"""What is damaged is named in a sentence that says how to go on, never in a traceback."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

import pytest

from medvista.app.training.stage_record import StageRecord, read_record
from medvista.data.trajectories import write_trajectories
from medvista.errors import UserError
from medvista.evaluation.playing.episode_log import EpisodeLog
from medvista.types import Observation, Trajectory, VQASample

pytestmark = pytest.mark.faults
Damage = Callable[[bytes], bytes]


def torn(content: bytes) -> bytes:
    return content[: len(content) // 2]


def emptied(content: bytes) -> bytes:
    return b""


def zeroed(content: bytes) -> bytes:
    return bytes(len(content))


def another(content: bytes) -> bytes:
    return b'{"seconds": "soon", "steps": []}'


def deep(content: bytes) -> bytes:
    return b"[" * 100_000


@pytest.mark.parametrize("damage", [torn, emptied, zeroed, another, deep])
def test_a_record_of_a_finished_stage(damage: Damage, tmp_path: Path) -> None:
    path = tmp_path / "done.json"
    path.write_text(json.dumps(asdict(StageRecord(seconds=1.5, steps=3))))
    assert read_record(path) == StageRecord(seconds=1.5, steps=3)
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(UserError, match=r"done\.json is damaged: delete it, and the stage goes on"):
        read_record(path)


@pytest.mark.parametrize("damage", [torn, zeroed, another, deep])
def test_a_line_in_the_middle_of_a_log_of_episodes(damage: Damage, tmp_path: Path) -> None:
    path = tmp_path / "phantom-sft-greedy.jsonl"
    samples = [
        VQASample(id=str(n), benchmark="b", split="test", question="?", answers=("a",), images=(), group_id="g")
        for n in range(3)
    ]
    write_trajectories(path, [Trajectory(sample=sample, observation=Observation(text="")) for sample in samples])
    assert EpisodeLog(path).finished() == {"0", "1", "2"}
    lines = path.read_bytes().splitlines()
    path.write_bytes(b"\n".join([lines[0], damage(lines[1]), lines[2], b""]))
    with pytest.raises(
        UserError, match=r"greedy\.jsonl, line 2 is damaged: delete this line, and its question is asked"
    ):
        EpisodeLog(path).finished()
