"""The picture of a run: how often each arm was right on the questions that need a look, with intervals and chance.

The report shows it in the colours of the page. ``arms.svg`` beside the report has its own colours and a white ground,
so that a README can show it. No meaning is in colour alone: the arm that a run is about is also in bold, and every mark
has its number beside it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from markupsafe import Markup, escape

from medvista.data.atomic import replacing
from medvista.evaluation.numbers.results import ALL, Mode, Results, Score
from medvista.evaluation.page.svg import drawing, label, tag

_LEAST_WIDTH = 740  # of the heading
_NAMES, _PANEL, _GAP, _VALUE, _MARGIN = 332, 196, 34, 36, 20  # widths
_TOP, _ROW, _BOTTOM = 96, 40, 34  # heights
_MOST_PANELS = 3
_LONGEST = 46  # letters of a description under an arm's name

_STYLE = """
text { font-family: system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", Arial, sans-serif; }
text { font-size: 14px; fill: #15202b; }
.ground { fill: #ffffff; stroke: #dde2e8; }
.heading { font-size: 17px; font-weight: 650; } .panel { font-weight: 650; } .main { font-weight: 700; }
.about, .tick, .chance-words { fill: #556372; font-size: 12px; }
.value { font-weight: 600; font-size: 13px; } .end { text-anchor: end; } .middle { text-anchor: middle; }
.stripe { fill: #e4f0f7; } .grid { stroke: #e1e6eb; } .chance { stroke: #556372; stroke-dasharray: 4 3; }
.ci { stroke: #6b7886; stroke-width: 3; stroke-linecap: round; } .dot { fill: #6b7886; }
.ours .ci { stroke: #0a5f8a; } .ours .dot { fill: #0a5f8a; }
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Panel:
    """One axis: the questions it is about, the score of each arm on them, and the accuracy of guessing."""

    title: str
    scores: Mapping[str, Score]
    chance: float | None


def write_arms_figure(path: Path, results: Results) -> bool:
    """Write `arms_figure` as an SVG file of its own; False, and no file, where no arm was scored."""
    figure = arms_figure(results, own_style=True)
    if figure is None:
        return False
    with replacing(Path(path)) as file:
        file.write(figure.encode() + b"\n")
    return True


def arms_figure(results: Results, *, own_style: bool = False) -> Markup | None:
    """A row per arm, a panel per family of questions that needs a look; None where no arm was scored.

    Where the run's comparisons name no families, a panel per benchmark.

    Args:
        results: of the run.
        own_style: with colours and ground of its own, as a file needs; without, a page gives them to its classes.
    """
    mode = figure_mode(results)
    panels = list(_panels(results, mode))[:_MOST_PANELS]
    arms = [arm for arm in results.arms if any(arm in panel.scores for panel in panels)]
    if not arms:
        return None
    ours = main_arm(results)
    drawn = _MARGIN + _NAMES + len(panels) * (_PANEL + _VALUE) + (len(panels) - 1) * _GAP + _MARGIN
    width = max(drawn, _LEAST_WIDTH)
    height = _TOP + _ROW * len(arms) + _BOTTOM
    parts = [tag("text", escape(_heading(results, mode)), x=_MARGIN, y=34, class_="heading")]
    if own_style:
        ground = tag("rect", class_="ground", x=0.5, y=0.5, width=width - 1, height=height - 1, rx=10)
        parts = [tag("style", Markup(_STYLE)), ground, *parts]  # nosec B704 - a constant
    parts += [_name_row(results, arm, index, width, arm == ours) for index, arm in enumerate(arms)]
    parts += [_panel(panel, number, arms, ours) for number, panel in enumerate(panels)]
    return drawing((width, height), _words(results, panels, arms, mode), parts, "arms-figure", own_file=own_style)


def figure_mode(results: Results) -> Mode:
    """Greedy where the run has it."""
    benchmarks = results.benchmarks()
    modes = results.modes(benchmarks[0]) if benchmarks else ()
    return modes[0] if modes else "greedy"


def main_arm(results: Results) -> str:
    """The arm that the run's first comparison is about, or else its last one."""
    return results.comparisons[0].arm if results.comparisons else next(reversed(list(results.arms)), "")


def _panels(results: Results, mode: Mode) -> Iterator[_Panel]:
    first = results.comparisons[0] if results.comparisons else None
    asked = results.families(first.benchmark) if first else ()
    families = [family for family in first.families if family in asked] if first else []
    if first and families:
        places = [(first.benchmark, family, family.replace("_", "/")) for family in families]
    else:
        places = [(benchmark, ALL, benchmark) for benchmark in results.benchmarks()]
    for benchmark, family, title in places:
        whole = {arm: score for arm in results.arms if (score := results.score(arm, benchmark, mode)) is not None}
        parts = {arm: score if family == ALL else score.families.get(family) for arm, score in whole.items()}
        scores = {arm: part for arm, part in parts.items() if part is not None}
        counts = {score.n for score in scores.values()}
        n = f", n = {min(counts)}" if len(counts) == 1 else ""
        yield _Panel(title=title + n, scores=scores, chance=results.chance.get(benchmark, {}).get(family))


def _heading(results: Results, mode: Mode) -> str:
    looks = " on questions that need a look" if any(c.families for c in results.comparisons) else ""
    return f"Accuracy{looks}, {mode}, in % with 95 % intervals"


def _name_row(results: Results, arm: str, index: int, width: float, is_ours: bool) -> Markup:
    y = _TOP + _ROW * index
    about = results.descriptions.get(arm, "")
    about = about if len(about) <= _LONGEST else about[: _LONGEST - 1].rstrip() + "…"
    stripe = tag("rect", class_="stripe", x=8, y=y, width=width - 16, height=_ROW, rx=6) if is_ours else Markup("")
    name = label(_MARGIN, y + (17 if about else 25), arm, "name main" if is_ours else "name")
    return stripe + name + (label(_MARGIN, y + 32, about, "about") if about else Markup(""))


def _panel(panel: _Panel, number: int, arms: list[str], ours: str) -> Markup:
    left = _MARGIN + _NAMES + number * (_PANEL + _VALUE + _GAP)
    bottom = _TOP + _ROW * len(arms)
    parts = [label(left, 62, panel.title, "panel")]
    for percent in (0, 25, 50, 75, 100):
        x = left + _PANEL * percent / 100
        parts.append(tag("line", class_="grid", x1=x, x2=x, y1=_TOP - 4, y2=bottom))
        parts.append(label(x, bottom + 18, str(percent), "tick middle"))
    if panel.chance is not None:
        x = left + _PANEL * panel.chance
        parts.append(tag("line", class_="chance", x1=x, x2=x, y1=_TOP - 8, y2=bottom))
        parts.append(label(x, _TOP - 13, f"chance {100 * panel.chance:.0f}", "chance-words middle"))
    for index, arm in enumerate(arms):
        if arm in panel.scores:
            parts.append(_mark(panel.scores[arm], arm, left, _TOP + _ROW * (index + 0.5), arm == ours))
    return Markup("").join(parts)


def _mark(score: Score, arm: str, left: float, y: float, is_ours: bool) -> Markup:
    low, high = (left + _PANEL * min(max(bound, 0.0), 1.0) for bound in score.ci95)
    parts = [
        tag("title", escape(f"{arm}: {_percent(score)}")),
        tag("line", class_="ci", x1=low, x2=high, y1=y, y2=y),
        tag("circle", class_="dot", cx=left + _PANEL * score.accuracy, cy=y, r=5),
        label(left + _PANEL + _VALUE, y + 5, f"{100 * score.accuracy:.0f}", "value end"),
    ]
    return tag("g", Markup("").join(parts), class_="ours" if is_ours else "other")


def _percent(score: Score) -> str:
    low, high = score.ci95
    return f"{100 * score.accuracy:.1f} % [{100 * low:.1f}, {100 * high:.1f}], n = {score.n}"


def _words(results: Results, panels: list[_Panel], arms: list[str], mode: Mode) -> str:
    """The figure as a text, for those who cannot see it."""
    said = [
        f"{panel.title}: " + "; ".join(f"{arm} {_percent(panel.scores[arm])}" for arm in arms if arm in panel.scores)
        for panel in panels
    ]
    return f"{_heading(results, mode)}. " + ". ".join(said) + "."
