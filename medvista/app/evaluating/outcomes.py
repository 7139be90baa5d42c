"""Which questions each arm got right: small enough to keep, enough for every paired test."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import cast

from medvista.data.atomic import replacing
from medvista.evaluation.numbers.results import Mode
from medvista.evaluation.playing.episode_set import EpisodeSet
from medvista.functional.episodes import correct
from medvista.types import Trajectory


@dataclass(frozen=True, kw_only=True)
class Outcomes:
    """One arm in one mode; the lists run over the same questions."""

    ids: Sequence[str]
    groups: Sequence[str]  # clusters of the intervals
    families: Sequence[str]
    correct: Sequence[bool]

    @classmethod
    def of(cls, trajectories: Sequence[Trajectory]) -> Outcomes:
        """The outcomes of finished episodes."""
        return cls(
            ids=[t.sample.id for t in trajectories],
            groups=[t.sample.group_id for t in trajectories],
            families=[str(t.sample.metadata.get("family", "")) for t in trajectories],
            correct=[correct(t) for t in trajectories],
        )

    def restricted(self, families: Collection[str]) -> Outcomes:
        """The questions of some families."""
        kept = [index for index, family in enumerate(self.families) if family in families]
        columns = asdict(self).items()
        return Outcomes(**{name: [column[index] for index in kept] for name, column in columns})


def write_outcomes(path: Path, outcomes: Mapping[EpisodeSet, Outcomes]) -> None:
    """One JSON object, ``benchmark/arm/mode`` -> columns."""
    with replacing(path) as file:
        file.write(json.dumps({"/".join(played[:3]): asdict(value) for played, value in outcomes.items()}).encode())


def read_outcomes(path: Path) -> dict[EpisodeSet, Outcomes]:
    """What `write_outcomes` wrote."""
    read = json.loads(path.read_text())
    outcomes: dict[EpisodeSet, Outcomes] = {}
    for key, columns in read.items():
        benchmark, arm, mode = key.split("/")
        outcomes[EpisodeSet(benchmark, arm, cast(Mode, mode))] = Outcomes(**columns)
    return outcomes
