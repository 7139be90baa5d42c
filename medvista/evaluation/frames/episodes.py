"""Test episodes, and their turns."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from medvista.data.trajectories import read_trajectories
from medvista.evaluation.frames.dataframe import data_frame
from medvista.evaluation.frames.folders import COLUMNS, find_runs
from medvista.evaluation.playing.episode_set import FOLDER, EpisodeSet
from medvista.functional.episodes import correct, episode_counts
from medvista.types import FinalAnswer, ParseError, ToolCall, Trajectory, Turn

if TYPE_CHECKING:
    import pandas as pd

_SET = ("benchmark", "arm", "mode", "change", "sample", "image", "family")
_EPISODE = ("question", "accepted", "answer", "correct", "reward", "stop_reason", "turns", "calls", "failed", "looked")
_COUNTED = ("hit", "tokens")
_TURN = ("turn", "kind", "tool", "arguments", "ok", "error", "text", "shown", "tokens")


def episodes(folder: Path | str) -> pd.DataFrame:
    """One row per test episode, replays included.

    Columns: ``benchmark``, ``arm``, ``mode``; ``change``, what a replay showed instead of tools' results (empty: the
    episode itself); ``sample`` and ``image``, ids of the question and of the image, patient or case by which intervals
    are clustered; ``family`` of the question; ``question``, the ``accepted`` answers joined by `` | ``, the ``answer``
    (missing without one), ``correct``; total ``reward``; ``stop_reason``; how many ``turns``, tool ``calls``, of these
    ``failed`` ones, and sampled ``tokens``; ``looked``, whether a tool showed a region where evidence is marked, and
    ``hit``, whether one of the regions was the evidence (missing without a look).
    """
    return data_frame(
        (_set(row, e) | _episode(e) for row, e in _all_episodes(folder)), (*COLUMNS, *_SET, *_EPISODE, *_COUNTED)
    )


def turns(folder: Path | str) -> pd.DataFrame:
    """One row per turn of a test episode.

    Columns beside those that name the episode, as in `episodes`: ``turn`` from 0; its ``kind``, ``call``, ``answer`` or
    ``error`` (it could not be parsed); of a call ``tool``, ``arguments`` as JSON, ``ok`` and, if not, the kind of its
    ``error``; ``text`` that the policy wrote, ``shown``, what it read then, and its sampled ``tokens``.
    """
    rows = (
        _set(row, episode) | {"turn": number} | _turn(turn)
        for row, episode in _all_episodes(folder)
        for number, turn in enumerate(episode.turns)
    )
    return data_frame(rows, (*COLUMNS, *_SET, *_TURN))


def _all_episodes(folder: Path | str) -> Iterator[tuple[dict[str, Any], Trajectory]]:
    """The columns that name the set, and the episode."""
    for run in find_runs(folder):
        for path in sorted((run.folder / FOLDER).glob("*.jsonl")):
            found = EpisodeSet.of_file(path.name)
            if found is not None:
                for episode in read_trajectories(path, pixels=False):
                    yield run.row | found._asdict(), episode


def _set(row: dict[str, Any], episode: Trajectory) -> dict[str, Any]:
    sample = episode.sample
    return row | {"sample": sample.id, "image": sample.group_id, "family": str(sample.metadata.get("family", ""))}


def _episode(episode: Trajectory) -> dict[str, Any]:
    counts = episode_counts(episode)
    looked = bool(counts["annotated_looks"])
    return {
        "question": episode.sample.question,
        "accepted": " | ".join(episode.sample.answers),
        "answer": episode.answer,
        "correct": correct(episode),
        "reward": counts["reward"],
        "stop_reason": episode.stop_reason.value if episode.stop_reason else None,
        "turns": len(episode.turns),
        "calls": int(counts["tool_calls"]),
        "failed": int(counts["tool_errors"]),
        "looked": looked,
        "hit": bool(counts["hits"]) if looked else None,
        "tokens": int(counts["tokens"]),
    }


def _turn(turn: Turn) -> dict[str, Any]:
    row: dict[str, Any] = {
        "text": turn.completion.text,
        "shown": turn.observation.text if turn.observation else None,
        "tokens": len(turn.completion.token_ids),
    }
    if isinstance(turn.action, FinalAnswer):
        return row | {"kind": "answer"}
    if isinstance(turn.action, ParseError):
        return row | {"kind": "error"}
    assert isinstance(turn.action, ToolCall)
    result = turn.result
    failed = result.error.type.value if result is not None and result.error is not None else None
    return row | {
        "kind": "call",
        "tool": turn.action.name,
        "arguments": json.dumps(dict(turn.action.arguments)),
        "ok": result is not None and result.ok,
        "error": failed,
    }
