"""The episodes of one arm on one benchmark, on disk from the moment each one ends.

While an evaluation runs, every process appends to its own file, ``<name>.jsonl.rank<r>``, one line per episode. When
all have ended, the lines are put into ``<name>.jsonl``, in the order of the questions. What a kill leaves behind is
enough to go on: an episode is known by the id of its question, and a torn last line counts as never written.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path

from medvista.data.atomic import replacing
from medvista.data.line_log import DamagedLineError, without_checksum
from medvista.data.trajectories import TrajectoryWriter
from medvista.errors import UserError
from medvista.evaluation.playing.shard import Shard


class EpisodeLog:
    """Where the episodes of one arm on one benchmark are kept.

    Args:
        path: the ``.jsonl`` file of all of them; views go to ``images/`` beside it.
        shard: this process among those that write.
    """

    def __init__(self, path: Path, shard: Shard | None = None) -> None:
        self.path = path
        self.shard = shard or Shard()

    def finished(self) -> set[str]:
        """Ids of the questions that any process has finished, in this run or before it was interrupted."""
        return {sample_id for file in self._files() for sample_id, _ in _lines(file)}

    def writer(self) -> TrajectoryWriter:
        """This process's own file, open for more episodes; with tokens, since how many were sampled is counted."""
        own = self.path.with_name(f"{self.path.name}.rank{self.shard.rank}")
        return TrajectoryWriter(own, images_dir=self.path.parent / "images", tokens=True)

    def merge(self, ids: Sequence[str]) -> None:
        """Leaves one file that begins with these questions in this order; to be called once all have written, by one.

        What was finished of further questions stays behind them: it may be asked for again.

        Raises:
            RuntimeError: a question is missing.
        """
        lines = {sample_id: line for file in self._files() for sample_id, line in _lines(file)}
        missing = [sample_id for sample_id in ids if sample_id not in lines]
        if missing:
            raise RuntimeError(f"{self.path} lacks {len(missing)} of {len(ids)} questions, the first is {missing[0]}")
        whole = b"".join(lines[sample_id] for sample_id in dict.fromkeys([*ids, *lines]))
        if not self.path.exists() or self.path.read_bytes() != whole:
            with replacing(self.path) as file:
                file.write(whole)
        for part in self._parts():
            part.unlink()

    def _files(self) -> list[Path]:
        return [self.path, *self._parts()] if self.path.exists() else self._parts()

    def _parts(self) -> list[Path]:
        return sorted(self.path.parent.glob(f"{self.path.name}.rank*"))


def _lines(path: Path) -> Iterator[tuple[str, bytes]]:
    """Each whole line of a file with the id of its question."""
    with path.open("rb") as file:
        for number, line in enumerate(file, start=1):
            if not line.endswith(b"\n"):  # torn by a kill, or being written by another process
                return
            yield _question_of(line, path, number), line


def _question_of(line: bytes, path: Path, number: int) -> str:
    try:
        id = json.loads(without_checksum(line))["sample"]["id"]
        if isinstance(id, str):
            return id
    except (ValueError, LookupError, TypeError, RecursionError, DamagedLineError):
        pass
    raise UserError(f"{path}, line {number} is damaged: delete this line, and its question is asked again.")
