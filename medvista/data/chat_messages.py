"""Demonstrations as chat messages, one flat JSON object a line: what `datasets`, pandas and other trainers read.

Every column has one type in every line, so that ``load_dataset("json", ...)`` and ``pandas.read_json(lines=True)`` take
the file as it is: no column holds a tool's arguments, whose types differ from tool to tool. Images are paths relative
to the file; ``<image>`` stands in a message where one is shown.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from medvista.data.atomic import replacing
from medvista.data.trajectories import read_trajectories_with_files
from medvista.types import MedicalImage, Observation, ToolCall, Trajectory

IMAGE = "<image>"


def write_messages(demonstrations: Path, path: Path, system: str) -> int:
    """Writes the episodes of a trajectory file as chat messages, and returns how many.

    Args:
        demonstrations: the trajectory file.
        path: of the new file, in the same folder.
        system: what the system message says about tools and grammar; empty for none.
    """
    count = 0
    with replacing(path) as file:
        for trajectory, files in read_trajectories_with_files(demonstrations):
            row = _row(trajectory, {view: str(at.relative_to(path.parent)) for view, at in files.items()}, system)
            file.write(json.dumps(row, ensure_ascii=False).encode() + b"\n")
            count += 1
    return count


def _row(trajectory: Trajectory, files: Mapping[MedicalImage, str], system: str) -> dict[str, Any]:
    sample = trajectory.sample
    shown = [trajectory.observation, *(turn.observation for turn in trajectory.turns if turn.observation)]
    return {
        "id": sample.id,
        "benchmark": sample.benchmark,
        "split": sample.split,
        "question": sample.question,
        "choices": list(sample.choices),
        "answers": list(sample.answers),
        "answer": trajectory.answer or "",
        "messages": [*([{"role": "system", "content": system}] if system else []), *_messages(trajectory)],
        "images": [files[view] for observation in shown for view in observation.images],
        "tools": [turn.action.name for turn in trajectory.turns if isinstance(turn.action, ToolCall)],
        "seed": trajectory.seed,
    }


def _messages(trajectory: Trajectory) -> Iterator[dict[str, str]]:
    yield {"role": "user", "content": _content(trajectory.observation)}
    for turn in trajectory.turns:
        yield {"role": "assistant", "content": turn.completion.text}
        if turn.observation is not None:
            yield {"role": "user", "content": _content(turn.observation)}


def _content(observation: Observation) -> str:
    """Images first, as the policy is shown them; a text that has the sign of an image in it has it broken."""
    return IMAGE * len(observation.images) + observation.text.replace(IMAGE, "< image>")
