"""Which trajectory files a run has, and who wrote each of them."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from medvista.errors import UserError
from medvista.evaluation.numbers.results import MODES, Results
from medvista.evaluation.numbers.results_file import read_results
from medvista.evaluation.playing.episode_set import EpisodeSet

_ENDING = re.compile(r"\.jsonl(\.rank\d+)?$")  # while an evaluation runs, each process has a file of its own


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """One trajectory file: the episodes of one arm in one mode."""

    path: Path
    run: str
    arm: str  # or the stage of training, or the name of a file that is of no run
    mode: str  # "greedy", "sampled"; of a stage "train", "validation"; "" of a file that is of no run
    about: str = ""  # what the arm is, in a few words
    headline: bool = False  # the one a reader looks for first
    folder: Path | None = None  # the run's; None of a file that is of no run


def find_sources(run: Path, name: str) -> list[Source]:
    """The trajectory files of a run, those on test first, arms in the order of its tables.

    Args:
        run: a run's folder, a folder of runs (a sweep over seeds), or a single trajectory file.
        name: what the viewer calls it.

    Raises:
        UserError: there is no such run, or it has no trajectory.
    """
    run = Path(run)
    if run.is_file():
        return [Source(path=run, run=name, arm=run.stem, mode="", headline=True)]
    if not run.is_dir():
        raise UserError(f"there is no run at {run}: give a run's folder, such as runs/nano, or a trajectory file")
    found = list(_sources_of(run, name))
    parts = [folder.parent for depth in ("*", "*/*") for folder in run.glob(f"{depth}/trajectories")]
    for part in sorted(parts):  # of a sweep: <variant>/seed-<n>
        found += _sources_of(part, f"{name}/{part.relative_to(run).as_posix()}")
    if not found:
        raise UserError(
            f"{run} has no trajectories: a run writes them to trajectories/**/*.jsonl when it evaluates; "
            "has it come so far, and is this its folder?"
        )
    return found


def _sources_of(run: Path, name: str) -> Iterator[Source]:
    results = None
    with suppress(UserError):  # the run has not ended, or is an old one: its episodes can be read all the same
        results = read_results(run / "results.json")
    files = (run / "trajectories").glob("**/*.jsonl*")
    paths = [path for path in files if _ENDING.search(path.name) and path.stat().st_size]
    sources = [_source(path, run, name, results) for path in paths]
    arms = list(results.arms) if results else []
    yield from sorted(sources, key=lambda source: _rank(source, arms))


def _source(path: Path, folder: Path, run: str, results: Results | None) -> Source:
    """What a file's name says: ``test/<benchmark>-<arm>-<mode>.jsonl``, or ``<stage>/<which>.jsonl`` of training."""
    parts = path.relative_to(folder / "trajectories").parts
    name = _ENDING.sub("", path.name)
    played = EpisodeSet.of_file(name)
    if parts[0] != "test" or played is None:
        return Source(path=path, run=run, arm="/".join(parts[:-1]) or name, mode=name, folder=folder)
    arm, mode = f"{played.arm}.{played.change}" if played.change else played.arm, played.mode
    main = results.comparisons[0].arm if results and results.comparisons else None
    about = results.descriptions.get(arm, "") if results else ""
    if played.change:
        about = "a replay, with something else in the place of what its tools showed"
    headline = (arm, mode) == (main, MODES[0])
    return Source(path=path, run=run, arm=arm, mode=mode, about=about, headline=headline, folder=folder)


def _rank(source: Source, arms: Sequence[str]) -> tuple[bool, int, str, str, str]:
    """Test before training; arms of the tables first, in their order, each before its replays."""
    arm = source.arm.partition(".")[0]
    place = arms.index(arm) if arm in arms else len(arms)
    return source.mode not in MODES, place, source.arm, source.mode, source.path.name
