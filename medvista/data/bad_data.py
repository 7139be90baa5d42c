"""Bad data: what cannot be used is left out and named, up to a share of the whole, past which a run stops.

Readers are strict by themselves: the first malformed row or missing image raises. Inside `leaving_out` they go on, and
say what they left out and why.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path

from medvista.data.line_log import DamagedLineError, LineLog, with_checksum, without_checksum
from medvista.errors import UserError
from medvista.imaging import open_image
from medvista.notices import notice
from medvista.ranks import gathered, leads, rank, world_size
from medvista.types import VQASample

ALLOWED_UNDER_WAY = 0.01  # where nothing is configured: of training, whose images are opened as they are drawn
_NAMED = 20  # that an error names


class BadData:
    """What was left out of one set of questions or demonstrations, and why.

    Args:
        of: the set, as messages name it: ``"the test questions of slake"``.
        allowed: share of the set that may be left out.
        total: how many the set has, what is left out counted; to be set once that is known.
        record: a file that keeps what was left out, so that a resumed run counts it, too; None keeps nothing.
    """

    def __init__(self, of: str, allowed: float, *, total: int = 0, record: Path | None = None) -> None:
        self.of, self.allowed, self.total = of, allowed, total
        self.found: dict[str, str] = {}  # where -> what is wrong with it
        self._record = record
        for entry in _recorded(record):
            if entry["of"] == of:
                self._count(entry["where"], entry["problem"])

    def leave_out(self, where: str, problem: str) -> None:
        """Counts one that is left out: where it is, and what is wrong with it."""
        if where in self.found:
            return
        self._count(where, problem)
        if self._record is not None and leads():
            with LineLog(self._record) as log:
                entry = {"of": self.of, "where": where, "problem": problem}
                log.write(with_checksum(json.dumps(entry).encode()))

    def check(self) -> None:
        """Holds what was left out to the allowed share.

        Raises:
            UserError: it is more; the first ones are named.
        """
        if len(self.found) > self.allowed * self.total:
            raise UserError(
                f"{len(self.found)} of {self.total} cannot be used of {self.of}: {self._named(_NAMED)}. Mend them or "
                f"take them out, or allow more with data.max_bad_fraction (now {self.allowed:g})."
            )

    def line(self) -> str:
        """A sentence that names all of them, for whoever reads the numbers."""
        count = f"{len(self.found)} of {self.total}"
        return f"{count} were left out of {self.of}, because they cannot be used: {self._named()}."

    def _count(self, where: str, problem: str) -> None:
        self.found[where] = problem
        notice(f"bad data left out of {self.of}", f"{where} ({problem})")

    def _named(self, most: int | None = None) -> str:
        named = [f"{where} ({problem})" for where, problem in self.found.items()]
        more = f"; and {len(named) - most} more" if most is not None and len(named) > most else ""
        return "; ".join(named[:most]) + more


_current: ContextVar[BadData | None] = ContextVar("bad data", default=None)


@contextmanager
def leaving_out(bad: BadData) -> Iterator[None]:
    """In this block readers leave out what they cannot use, and count it in `bad`; with no share allowed they raise."""
    before = _current.set(bad if bad.allowed else None)
    try:
        yield
    finally:
        _current.reset(before)


def left_out(where: str, problem: str) -> bool:
    """Whether something may be left out here; then it is counted."""
    bad = _current.get()
    if bad is None:
        return False
    bad.leave_out(where, problem)
    return True


class ImageCheck:
    """Finds the questions whose images cannot be opened, before they are played, alike in all processes.

    Args:
        bad: counts them.
    """

    def __init__(self, bad: BadData) -> None:
        self.bad = bad

    def unreadable(self, samples: Sequence[VQASample]) -> set[int]:
        """The indices of such questions; each process opens its share, so all have to ask with the same ones.

        Raises:
            UserError: in every process, where they have become too many.
        """
        if not any(isinstance(image, Path) for sample in samples for image in sample.images):
            return set()
        own = range(rank(), len(samples), world_size())
        shares = gathered({index: why for index in own if (why := image_problem(samples[index]))})
        found = {index: why for share in shares for index, why in share.items()}
        for index in sorted(found):
            self.bad.leave_out(question_name(samples[index]), found[index])
        self.bad.check()
        return set(found)


def image_problem(sample: VQASample) -> str:
    """What is wrong with an image of a question; empty where all can be opened."""
    try:
        for image in sample.images:
            open_image(image)
    except UserError as error:
        return str(error)
    except OSError as error:  # an input error of the disk, a folder without rights
        return f"{error.filename or sample.images[0]}: {error.strerror or error}"
    return ""


def question_name(sample: VQASample) -> str:
    """A question as messages name it."""
    return f"{sample.benchmark}, question {sample.id}"


def _recorded(path: Path | None) -> Iterator[dict[str, str]]:
    if path is None or not path.exists():
        return
    for line in path.read_bytes().splitlines(keepends=True):
        try:
            entry = json.loads(without_checksum(line))
            yield {name: str(entry[name]) for name in ("of", "where", "problem")}
        except (ValueError, LookupError, TypeError, DamagedLineError):
            if line.endswith(b"\n"):  # else torn by a kill
                raise UserError(f"{path} is damaged: delete it; what was left out is counted again.") from None
