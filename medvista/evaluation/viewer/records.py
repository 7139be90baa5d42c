"""Episodes -> what the page reads: a light index of all of them, and a full record of each.

The index is loaded at once and answers every filter; records come in shards, when an episode is opened. Everything in
them is plain values: texts stay texts, and it is the page that never takes one for HTML.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field, fields
from typing import Any, TypeAlias

from medvista.data.json_fields import plain
from medvista.evaluation.page.episode_cards import UriOf, episode_card
from medvista.evaluation.viewer.sources import Source
from medvista.types import ToolCall, Trajectory

Record: TypeAlias = dict[str, Any]


def episode_record(source: Source, trajectory: Trajectory, uri: UriOf) -> Record:
    """Everything the page shows of one episode, its parts still objects: `to_json_text` writes them."""
    card = episode_card(source.arm, trajectory, uri)
    sample = trajectory.sample
    facts = {
        "split": sample.split,
        "group": sample.group_id,
        "seed": trajectory.seed,
        "policy version": trajectory.policy_version,
        **{str(name).replace("_", " "): value for name, value in sample.metadata.items()},
    }
    return {
        **_fields_of(card),
        "reward": plain(card.reward),  # numbers of a file may be anything; those of pictures and boxes are finite
        "terms": plain(card.terms),
        "seconds": plain([turn.result.seconds if turn.result else None for turn in trajectory.turns]),
        "facts": [(name, str(value)) for name, value in facts.items()],
    }


def to_json_text(values: Any) -> str:
    """Values as JSON, dataclasses among them as objects.

    Only the few dataclasses of a record come back to Python: taking every text and number through `dataclasses.asdict`
    cost more than reading the episodes.
    """
    return json.dumps(values, default=_fields_of, ensure_ascii=False, allow_nan=False, separators=(",", ":"))


def _fields_of(value: Any) -> Record:
    return {each.name: getattr(value, each.name) for each in fields(value)}


@dataclass(slots=True)
class Index:
    """What the list shows and filters by, each sample and each name once."""

    sources: list[dict[str, Any]] = field(default_factory=list)
    samples: list[Sequence[str]] = field(default_factory=list)  # benchmark, split, id, family, question, gold answer
    tools: list[str] = field(default_factory=list)
    episodes: list[Sequence[Any]] = field(default_factory=list)  # see `add`
    headline: int | None = None
    _places: dict[Any, int] = field(default_factory=dict)

    def add(self, source: Source, record: Record, trajectory: Trajectory) -> None:
        """One more episode: sample, source, answer, whether it is right, reward, tools, whether a call failed, end."""
        calls = [(turn.action.name, turn.result) for turn in trajectory.turns if isinstance(turn.action, ToolCall)]
        self.episodes.append(
            (
                self._sample(trajectory, record),
                self._source(source),
                record["answer"],
                int(record["right"]),
                record["reward"],
                [self._place(("tool", name), self.tools, name) for name in dict.fromkeys(name for name, _ in calls)],
                int(any(result is not None and not result.ok for _, result in calls)),
                record["stop_reason"],
            )
        )

    def to_json(self) -> dict[str, Any]:
        """As the page reads it."""
        names = ("sources", "samples", "tools", "episodes", "headline")
        return {name: getattr(self, name) for name in names}

    def _source(self, source: Source) -> int:
        """Files of one arm on several benchmarks are one source."""
        values = {"run": source.run, "arm": source.arm, "mode": source.mode, "about": source.about}
        place = self._place(("source", source.run, source.arm, source.mode), self.sources, values)
        if source.headline and self.headline is None:
            self.headline = place
        return place

    def _sample(self, trajectory: Trajectory, record: Record) -> int:
        """Two questions under one id are two, whatever runs they come from."""
        sample = trajectory.sample
        gold = " or ".join(sample.answers)
        values = (sample.benchmark, sample.split, sample.id, record["family"], sample.question, gold)
        return self._place(("sample", *values[:3], sample.question), self.samples, values)

    def _place(self, key: tuple[str, ...], values: list[Any], value: Any) -> int:
        """Where a value stands among those of its kind; it is added when it is new."""
        if key not in self._places:
            self._places[key] = len(values)
            values.append(value)
        return self._places[key]
