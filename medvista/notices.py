"""What was altered, left out or guessed between a file and a number: counted, and said once.

Whoever changes what a person gave (composites a transparent picture, leaves a slice out, skips an unreadable question)
calls `notice`. The first occurrence of each kind is logged as a warning; a run writes all of them, with counts, into
its results and its report.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Sequence
from dataclasses import dataclass

log = logging.getLogger(__name__)

_EXAMPLES = 3  # places that a line names


@dataclass(frozen=True, slots=True, kw_only=True)
class Notice:
    """One kind of alteration and how often it happened."""

    what: str  # "transparent pictures were shown on white"
    count: int  # different places, not times: a file that is read twice counts once
    examples: tuple[str, ...]  # the first places: a file, "questions.csv, row 7"

    def line(self) -> str:
        """The notice as a person reads it.

        >>> Notice(what="transparent pictures were shown on white", count=2, examples=("a.png", "b.png")).line()
        'transparent pictures were shown on white: 2 (a.png, b.png)'
        """
        more = ", ..." if self.count > len(self.examples) else ""
        return f"{self.what}: {self.count} ({', '.join(self.examples)}{more})"


class Notices:
    """Collects notices from all threads of a process."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._places: dict[str, dict[str, None]] = {}  # what -> places, in order, each once

    def add(self, what: str, where: str) -> None:
        """Counts one place where something was altered, left out or guessed; see `notice`."""
        with self._lock:
            first = what not in self._places
            self._places.setdefault(what, {})[where] = None
        if first:
            log.warning("%s: %s; more of the same is only counted.", where, what)

    def collected(self) -> Sequence[Notice]:
        """All notices so far, in the order of their first occurrence."""
        with self._lock:
            return [
                Notice(what=what, count=len(places), examples=tuple(list(places)[:_EXAMPLES]))
                for what, places in self._places.items()
            ]

    def clear(self) -> None:
        """Forgets everything: the next occurrence of each kind is a first one."""
        with self._lock:
            self._places.clear()


NOTICES = Notices()  # of this process


def notice(what: str, where: str) -> None:
    """Counts that something was altered, left out or guessed, and says so the first time.

    Args:
        what: a sentence without its place, the same for every occurrence: "transparent pictures were shown on white".
        where: the file, with the row, slice or question: "questions.csv, row 7". The same place counts once.
    """
    NOTICES.add(what, where)
