"""What is damaged is named in a sentence that says how to go on, never in a traceback."""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path

import pytest

from medvista.app.training.stage_record import StageRecord, read_record
from medvista.data.trajectories import read_trajectories, write_trajectories
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


def test_a_flipped_bit_anywhere_in_a_line_is_found(tmp_path: Path) -> None:
    """Each bit of the line but those of the checksum's own name, without which the line counts as an old one."""
    path = tmp_path / "phantom-sft-greedy.jsonl"
    sample = VQASample(id="7", benchmark="b", split="test", question="Is it?", answers=("no",), images=(), group_id="g")
    write_trajectories(path, [Trajectory(sample=sample, observation=Observation(text="Is it?"))])
    whole = path.read_bytes()
    assert list(json.loads(whole))[-1] == "crc32"
    (kept,) = read_trajectories(path)
    name = range(whole.rindex(b',"crc32"'), len(whole))
    for place in range(len(whole) - 1):
        damaged = bytearray(whole)
        damaged[place] ^= 1 << place % 8
        path.write_bytes(damaged)
        if place in name:
            with suppress(UserError):
                assert [repr(read) for read in read_trajectories(path)] == [repr(kept)]
            continue
        with pytest.raises(UserError, match=r"greedy\.jsonl, line 1"):
            list(read_trajectories(path))
        if damaged[place] not in b"\n\r":
            with pytest.raises(UserError, match=r"greedy\.jsonl, line 1 is damaged"):
                EpisodeLog(path).finished()


def test_old_lines_without_checksum_are_read_and_lines_changed_by_hand_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "mine.jsonl"
    sample = VQASample(id="7", benchmark="b", split="test", question="Is it?", answers=("no",), images=(), group_id="g")
    write_trajectories(path, [Trajectory(sample=sample, observation=Observation(text="Is it?"))])
    values = json.loads(path.read_text())
    values["sample"]["question"] = "Is it so?"
    path.write_text(json.dumps(values, separators=(",", ":")) + "\n")
    with pytest.raises(UserError, match=r"line 1: its text is not the one that was written.*take out the last field"):
        list(read_trajectories(path))
    del values["crc32"]
    path.write_text(json.dumps(values) + "\n")
    (read,) = read_trajectories(path)
    assert read.sample.question == "Is it so?"
