"""Every episode that was tried, one line each: what a collection that was interrupted goes on from."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any

from medvista.data.line_log import LineLog
from medvista.errors import UserError
from medvista.functional.acceptance import Verdict, episode_fingerprint
from medvista.types import ToolCall, Trajectory, VQASample

FILE = "attempts.jsonl"


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """One episode that was tried."""

    benchmark: str
    question: str  # its id
    seed: int
    verdict: Verdict
    fingerprint: str  # of what was done, see `episode_fingerprint`
    calls: Mapping[str, int] = field(default_factory=dict)  # by tool, of the whole episode
    turns: int = 0
    tokens: int = 0  # that a policy in this process sampled
    notes: Mapping[str, int] = field(default_factory=dict)  # what else was done with it, counted

    @classmethod
    def of(cls, episode: Trajectory, verdict: Verdict, notes: Mapping[str, int] | None = None) -> Attempt:
        """The line about a finished episode."""
        return cls(
            benchmark=episode.sample.benchmark,
            question=episode.sample.id,
            seed=episode.seed,
            verdict=verdict,
            fingerprint=episode_fingerprint(episode),
            calls=dict(Counter(turn.action.name for turn in episode.turns if isinstance(turn.action, ToolCall))),
            turns=len(episode.turns),
            tokens=sum(len(turn.completion.token_ids) for turn in episode.turns),
            notes=dict(notes or {}),
        )


class AttemptLog:
    """The attempts of a collection, on disk as soon as they are added.

    Args:
        folder: of the collection; what is in its log is read first.

    Raises:
        UserError: the log is damaged.
    """

    def __init__(self, folder: Path) -> None:
        path = folder / FILE
        self._file = LineLog(path)  # mends a last line that a kill has torn
        self.attempts = list(_read(path))
        self._tried = {(one.benchmark, one.question, one.seed) for one in self.attempts}
        kept = [one for one in self.attempts if one.verdict == "kept"]
        self._kept = Counter((one.benchmark, one.question) for one in kept)
        self._fingerprints = {one.fingerprint for one in kept}

    def add(self, attempt: Attempt) -> None:
        """Writes an attempt down."""
        self._file.write(json.dumps(asdict(attempt), ensure_ascii=False).encode() + b"\n")
        self.attempts.append(attempt)
        self._tried.add((attempt.benchmark, attempt.question, attempt.seed))
        if attempt.verdict == "kept":
            self._kept[attempt.benchmark, attempt.question] += 1
            self._fingerprints.add(attempt.fingerprint)

    def has(self, sample: VQASample, seed: int) -> bool:
        """Whether an episode was tried."""
        return (sample.benchmark, sample.id, seed) in self._tried

    def kept(self, sample: VQASample) -> int:
        """How many demonstrations of a question are kept."""
        return self._kept[sample.benchmark, sample.id]

    def has_its_like(self, episode: Trajectory) -> bool:
        """Whether an episode that did the same is kept."""
        return episode_fingerprint(episode) in self._fingerprints

    def close(self) -> None:
        """Ends the file."""
        self._file.close()

    def __enter__(self) -> AttemptLog:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()


def attempt_seed(seed: int, sample: VQASample, draw: int) -> int:
    """The seed of the draw-th episode of a question: the same in every run, whatever else is asked."""
    words = json.dumps([seed, sample.benchmark, sample.id, draw])
    return int.from_bytes(hashlib.sha256(words.encode()).digest()[:4], "big") >> 1


def _read(path: Path) -> Iterator[Attempt]:
    for number, line in enumerate(path.read_bytes().splitlines(), start=1):
        try:
            values: dict[str, Any] = json.loads(line)
            yield Attempt(**values)
        except (ValueError, TypeError) as error:
            raise UserError(f"{path}, line {number} is no attempt ({error}): delete this line.") from None
