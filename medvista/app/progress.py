"""What a person sees while a run is under way: one bar for all of it, or, in a log, a few plain lines."""

from __future__ import annotations

import logging
import os
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TextIO

from tqdm import tqdm

from medvista.app.lost_processes import enter_stage
from medvista.app.terminal import WIDTH, in_words, leads

_EVERY = 30.0  # seconds between two lines of a log
_REDRAWN = 0.1  # seconds between two pictures of the bar
_BAR = "{percentage:3.0f}% |{bar:20}| {desc}"
_ROWS = 24  # told to tqdm, which draws nothing in a terminal that says it has none
_LONGEST = 120  # characters of a line in a log


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """One stage of a run's plan."""

    name: str
    units: int  # how many there are to do
    unit: str  # "step", "update", "question"
    seconds: float | None = None  # that it takes by a measured reference; None where there is none


class Progress:
    """How far a run is; prints to ``stream`` in the process that leads, and nothing in the others.

    Args:
        plan: the stages that will be worked on, in order.
        stream: where to print; standard error by default. A terminal gets a bar, anything else lines.
        shown: False keeps silent.
        clock: seconds, for tests.
    """

    def __init__(
        self,
        plan: Sequence[Work] = (),
        *,
        stream: TextIO | None = None,
        shown: bool = True,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.plan = list(plan)
        self._stream = sys.stderr if stream is None else stream
        self.clock = clock
        self._began = clock()
        self._finished: dict[str, float] = {}  # stage -> share that this run had to do itself
        self._open: StageProgress | None = None
        self._said = clock()
        self._bar: tqdm[None] | None = None
        self._lines = shown and leads() and not self._stream.isatty()
        self._draws = shown and leads() and self._stream.isatty()
        self._handler = _AboveTheBar(self._stream)

    @contextmanager
    def stage(self, name: str, units: int, unit: str) -> Iterator[StageProgress]:
        """Works on a stage; inside another one it only shows what that is doing."""
        if self._open is not None:
            yield self._open.part(name)
            return
        enter_stage(name)
        self._open = stage = StageProgress(self, name, units, unit)
        if self._draws and self._bar is None:
            self._bar = self._new_bar()
        self._say(f"{self._place(stage)}: begins, {units} {unit}s")
        try:
            yield stage
            self._finished[name] = 1 - stage.before
            self._say(f"{self._place(stage)}: done in {in_words(self.clock() - stage.began)}")
        finally:
            self._open = None

    def close(self) -> None:
        """Takes the bar away."""
        if self._bar is not None:
            logging.getLogger("medvista").removeHandler(self._handler)
            self._bar.close()
            self._bar = None

    def _new_bar(self) -> tqdm[None]:
        logging.getLogger("medvista").addHandler(self._handler)
        return tqdm(
            total=1000,
            file=self._stream,
            leave=False,
            ncols=_columns(self._stream),
            nrows=_ROWS,
            bar_format=_BAR,
        )

    def seconds_left(self) -> float | None:
        """For the whole run, from its pace so far; None where nothing is known yet."""
        done, total = self._amounts()
        elapsed = self.clock() - self._began
        if not total or not done:
            return None
        return (total - done) * elapsed / done

    def share_done(self) -> float:
        """Of the whole plan, 0-1."""
        done, total = self._amounts()
        return min(1.0, done / total) if total else 0.0

    def _amounts(self) -> tuple[float, float]:
        """What is done and what there is to do, in seconds of the reference, or in units where there is none."""
        done = total = 0.0
        known = all(work.seconds is not None for work in self.plan)
        alike = len({work.unit for work in self.plan}) == 1
        if not known and not alike:
            return 0.0, 0.0
        for work in self.plan:
            amount = float(work.seconds or 0.0) if known else float(work.units)
            if work.name in self._finished:
                done += amount * self._finished[work.name]
                total += amount * self._finished[work.name]
            elif self._open is not None and self._open.name == work.name:
                done += amount * (self._open.share - self._open.before)
                total += amount * (1 - self._open.before)
            else:
                total += amount
        return done, total

    def show(self, stage: StageProgress) -> None:
        """Draws the bar again, or prints a line, unless that was done a moment ago."""
        now = self.clock()
        if now - self._said < (_REDRAWN if self._draws else _EVERY):
            return
        left = self._left(stage)
        told = ", ".join(text for text in (left and f"about {in_words(left)} left", stage.note) if text)
        if self._bar is not None:
            self._said = now
            share = self.share_done() or stage.share
            self._bar.n = round(1000 * share)
            self._bar.ncols = _columns(self._stream)
            self._bar.set_description_str(f"{self._place(stage)}, {_counted(stage)}{told and f', {told}'}")
        elif now - max(self._said, stage.began) >= _EVERY:
            self._say(f"{self._place(stage)}: {_counted(stage)}{told and f', {told}'}")

    def _left(self, stage: StageProgress) -> float | None:
        """Seconds of the run; where that cannot be told, of the stage."""
        whole = self.seconds_left()
        if whole is not None or len(self.plan) > 1:
            return whole
        worked = stage.share - stage.before
        return (1 - stage.share) * (self.clock() - stage.began) / worked if worked > 0 else None

    def _place(self, stage: StageProgress) -> str:
        names = [work.name for work in self.plan]
        return f"[{names.index(stage.name) + 1}/{len(names)}] {stage.name}" if stage.name in names else stage.name

    def _say(self, line: str) -> None:
        if self._lines:
            self._said = self.clock()
            print(line[:_LONGEST], file=self._stream, flush=True)


class StageProgress:
    """How far one stage is."""

    def __init__(self, whole: Progress, name: str, units: int, unit: str) -> None:
        self.name, self.units, self.unit = name, units, unit
        self.done, self.before, self.note = 0, 0.0, ""
        self.began = whole.clock()
        self._whole = whole

    @property
    def share(self) -> float:
        """That is done, 0-1."""
        return min(1.0, self.done / self.units) if self.units else 1.0

    def resumed_at(self, done: int) -> None:
        """What an earlier run had done, which says nothing about the pace of this one."""
        self.done = done
        self.before = self.share

    def skip(self, units: int) -> None:
        """So many units need not be done after all."""
        self.units -= units

    def reach(self, done: int, note: str = "") -> None:
        """So many units are done now."""
        self.done, self.note = done, note or self.note
        self._whole.show(self)

    def part(self, name: str) -> StageProgress:
        """Something inside this stage, whose steps are not those of the plan."""
        return _Part(self._whole, name, self)


class _Part(StageProgress):
    """A part of a stage: it moves nothing, but is shown."""

    def __init__(self, whole: Progress, name: str, outer: StageProgress) -> None:
        super().__init__(whole, name, outer.units, outer.unit)
        self._outer = outer

    def resumed_at(self, done: int) -> None:
        """Does not count."""

    def reach(self, done: int, note: str = "") -> None:
        """Shows what is going on."""
        self._outer.reach(self._outer.done, f"{self.name}{note and f', {note}'}")


class _AboveTheBar(logging.Handler):
    """Prints what is logged above the bar rather than into it."""

    def __init__(self, stream: TextIO) -> None:
        super().__init__(logging.WARNING)
        self._stream = stream

    def emit(self, record: logging.LogRecord) -> None:
        """Prints one record."""
        tqdm.write(self.format(record), file=self._stream)


def _columns(stream: TextIO) -> int:
    """The terminal's width; some say that they have none."""
    try:
        columns = os.get_terminal_size(stream.fileno()).columns
    except (OSError, ValueError):  # no file, as in tests
        columns = 0
    return min(columns or WIDTH, WIDTH)


def _counted(stage: StageProgress) -> str:
    return f"{stage.unit} {stage.done} of {stage.units}"
