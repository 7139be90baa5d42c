"""The report of a run: one self-contained HTML page, which asks no network and needs no file beside it."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from medvista.data.atomic import replacing
from medvista.data.json_fields import plain
from medvista.evaluation.numbers.results import Results
from medvista.evaluation.page.arms_figure import arms_figure, figure_mode, write_arms_figure
from medvista.evaluation.page.charts import number
from medvista.evaluation.page.csv_tables import NamedTable, write_tables
from medvista.evaluation.page.curves import Curves, stage_curves
from medvista.evaluation.page.episode_cards import EpisodeCard, episode_card
from medvista.evaluation.page.episode_choice import in_reading_order
from medvista.evaluation.page.panels import arm_panels, changed_panels, slice_panels
from medvista.evaluation.page.report_tables import report_tables
from medvista.evaluation.page.run_files import run_files, viewer_command
from medvista.evaluation.tables.arm_tables import p_text, signed_points
from medvista.evaluation.tables.measure_tables import column_meanings
from medvista.evaluation.tables.speed_tables import speed_tables
from medvista.evaluation.tables.verdict import verdict
from medvista.functional.episodes import correct
from medvista.notices import Notice
from medvista.types import Trajectory

_FIRST_CHARTS = 12  # more wait behind a click
_FIRST_EPISODES = 2  # a right one and a wrong one; more wait behind a click
_FINDINGS = 3  # comparisons in large letters
_FROM_ROOT = re.compile(
    r"(?<!\S)(?:/|~/|[A-Za-z]:[/\\])\S*[/\\]|(?<!\S)/(?=\S)"
)  # "/data/slake/" of "/data/slake/a.png"


def write_report(
    path: Path,
    results: Results,
    curves: Curves,
    trajectories: Mapping[str, Sequence[Trajectory]],
    notes: Sequence[str] = (),
    *,
    is_right: Callable[[Trajectory], bool] = correct,
) -> None:
    """Write the report of a run as one HTML page; beside it ``arms.svg`` and each table as ``tables/<name>.csv``.

    Args:
        path: the page, in the run's folder; it is replaced in one move.
        results: what `results.json` holds.
        curves: stage -> metric -> ``(step, value)`` pairs.
        trajectories: arm -> the episodes picked to be read, good ones and failures.
        notes: sentences a reader should know before the numbers, such as what was left out.
        is_right: judges an episode's answer; by default strict exact match.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_arms_figure(path.with_name("arms.svg"), results)
    write_tables(path.parent / "tables", (table for tables in report_tables(results).values() for table in tables))
    episodes = in_reading_order(results, trajectories)
    cards = [episode_card(arm, episode, is_right=is_right) for arm, episode in episodes]
    page = render_report(results, curves, cards, notes, run=path.parent)
    with replacing(path) as file:
        file.write(page.encode())


def render_report(
    results: Results,
    curves: Curves,
    cards: Sequence[EpisodeCard],
    notes: Sequence[str] = (),
    *,
    run: Path | None = None,
) -> str:
    """The page as a string; `run` is the folder it will stand in, for links to what is there."""
    mode = figure_mode(results)
    tables = report_tables(results)
    return (
        _templates()
        .get_template("report_template.html")
        .render(
            results=results,
            written=datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
            verdict=verdict(results),
            notes=notes,
            notices=[_without_folders(notice) for notice in results.notices],
            findings=[test for test in results.comparisons if test.mode == mode][:_FINDINGS],
            figure=arms_figure(results),
            main_table=tables["arms"][0] if tables["arms"] else None,
            tables=tables,
            panels={benchmark: arm_panels(results, benchmark) for benchmark in results.benchmarks()},
            modes={benchmark: results.modes(benchmark) for benchmark in results.benchmarks()},
            column_meanings=column_meanings(results),
            changed_panels=changed_panels(results),
            slice_panels=slice_panels(results),
            stages={stage: stage_curves(metrics) for stage, metrics in curves.items() if metrics},
            first_charts=_FIRST_CHARTS,
            cards=cards,
            first_episodes=_FIRST_EPISODES,
            phases=_phases(results.timing),
            speed=[NamedTable(name="speed", table=table) for table in speed_tables(curves)],
            environment=_environment(results),
            config=json.dumps(plain(results.config), indent=2, ensure_ascii=False) if results.config else "",
            files=list(run_files(run)) if run else [],
            viewer_command=viewer_command(run) if run else "",
            has_trajectories=bool(run and (run / "trajectories").is_dir()),
        )
    )


def _templates() -> Environment:
    templates = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,  # a model may write <script>
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    templates.filters |= {"number": number, "points": signed_points, "p": p_text, "duration": duration}
    return templates


def duration(seconds: float) -> str:
    """A time span as people say it.

    >>> duration(12.34), duration(754), duration(7260)
    ('12.3 s', '12 min 34 s', '2 h 01 min')
    """
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest:02d} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60:02d} min"


def _environment(results: Results) -> dict[str, str]:
    """The machine and the code, as a reader wants them; packages stand apart."""
    known = {**results.environment}
    clean = {True: "", False: ", with uncommitted changes", None: ""}[known.pop("clean", None)]
    packages = known.pop("packages", {})
    shown = {name: str(value) for name, value in known.items() if value is not None}
    if "commit" in shown:
        shown["commit"] += clean
    return shown | {str(name): str(version) for name, version in (packages or results.versions).items()}


def _without_folders(notice: Notice) -> str:
    """A notice whose places are not told from the root of the disk: a page may be shown where folders should not be."""
    examples = tuple(_FROM_ROOT.sub("", example) for example in notice.examples)
    return Notice(what=notice.what, count=notice.count, examples=examples).line()


def _phases(timing: Mapping[str, float]) -> list[tuple[str, float, float]]:
    """Name, seconds and share of each phase of the run, without the total."""
    phases = {name.removesuffix("_s"): s for name, s in timing.items() if name != "total_s" and s > 0}
    whole = sum(phases.values())
    return [(name.replace("_", " "), seconds, seconds / whole) for name, seconds in phases.items()]
