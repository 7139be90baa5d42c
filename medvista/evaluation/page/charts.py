"""Charts as inline SVG: no plotting library in the page, no picture beside it, colours from the page's style sheet.

Every function returns one ``<svg>`` with a text alternative. Widths are fixed in user units and close to those of a
phone, so that text keeps its size when the page lays several charts side by side.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from markupsafe import Markup, escape

from medvista.evaluation.numbers.results import Interval
from medvista.evaluation.page.svg import drawing, label, tag

Point = tuple[float, float]

_LONGEST_LABEL = 18  # letters that fit beside the plot
FOREST_WIDTH, LABEL_WIDTH, VALUE_WIDTH, ROW_HEIGHT = 380, 112, 42, 30
LINE_WIDTH, LINE_HEIGHT = 300, 130
_LEFT, _RIGHT, _TOP, _BOTTOM = 38, 8, 8, 20  # margins of a line chart
_MANY_POINTS = 30  # from here on a curve is also drawn smoothed
_MOST_POINTS = 240  # more than a phone has pixels for


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimate:
    """One mark of a forest plot: a fraction with its interval."""

    series: str  # "greedy", "sampled": also the CSS class of the mark
    value: float
    ci95: Interval
    n: int
    per_seed: Mapping[str, float] = field(default_factory=dict)


def forest_plot(rows: Mapping[str, Sequence[Estimate]], *, title: str, chance: float | None = None) -> Markup:
    """A row per label, in it a mark with an interval bar for each estimate, on an axis from 0 to 100 percent.

    Args:
        rows: label -> its estimates, at most two.
        title: what is measured, for the text alternative.
        chance: the accuracy of guessing, drawn as a dashed line.
    """
    top = 20 if chance is not None else 6
    bottom = top + ROW_HEIGHT * len(rows)
    parts = [_percent_grid(top, bottom)]
    if chance is not None:
        x = _percent_x(chance)
        parts.append(tag("line", class_="chance", x1=x, x2=x, y1=top - 4, y2=bottom))
        parts.append(label(x, top - 8, f"chance {100 * chance:.0f}", "tick middle"))
    for index, (name, estimates) in enumerate(rows.items()):
        parts.append(_forest_row(name, estimates, top + ROW_HEIGHT * (index + 0.5)))
    return _chart(FOREST_WIDTH, bottom + 18, _forest_words(title, rows, chance), parts)


def line_chart(points: Sequence[Point], *, title: str, y_range: Interval | None = None) -> Markup:
    """A curve over steps; a long one is drawn faint under its moving average.

    Args:
        points: ``(step, value)`` in the order of steps; values that are not finite are left out.
        title: the metric's name, for the text alternative.
        y_range: the vertical axis; by default the range of the values, rounded outwards.
    """
    points = thinned([(x, y) for x, y in points if math.isfinite(y)], _MOST_POINTS)
    if not points:
        return _chart(LINE_WIDTH, LINE_HEIGHT, f"{title}: nothing recorded", [])
    ticks = nice_ticks(*(y_range or (min(y for _, y in points), max(y for _, y in points))))
    low, high = ticks[0], ticks[-1]
    first, last = points[0][0], points[-1][0]

    def place(x: float, y: float) -> Point:
        across = (x - first) / (last - first) if last > first else 0.5
        up = (min(max(y, low), high) - low) / (high - low)
        plot_width, plot_height = LINE_WIDTH - _LEFT - _RIGHT, LINE_HEIGHT - _TOP - _BOTTOM
        return _LEFT + across * plot_width, LINE_HEIGHT - _BOTTOM - up * plot_height

    parts = [_y_axis(tick, place(first, tick)[1]) for tick in ticks]
    parts.append(label(place(last, low)[0], LINE_HEIGHT - 5, f"{last:.0f}", "tick end"))
    if last > first:
        parts.append(label(_LEFT, LINE_HEIGHT - 5, f"step {first:.0f}", "tick"))
    parts.extend(_curves(points, place))
    return _chart(LINE_WIDTH, LINE_HEIGHT, _curve_words(title, points), parts)


def nice_ticks(low: float, high: float, count: int = 3) -> list[float]:
    """About `count` round numbers that enclose ``low .. high``.

    >>> nice_ticks(0.12, 0.83)
    [0.0, 0.5, 1.0]
    >>> nice_ticks(3, 3)
    [2.0, 3.0, 4.0]
    """
    size = max(abs(low), abs(high))
    if high - low < max(1e-9 * size, 1e-18):  # flat up to rounding: no step can be taken from its range
        margin = size / 3 if size > 1e-18 else 1.0
        low, high = low - margin, high + margin
    raw = (high - low) / (count - 1)
    magnitude = 10.0 ** math.floor(math.log10(raw))
    step = next(nice * magnitude for nice in (1, 2, 2.5, 5, 10) if nice * magnitude >= raw * 0.8)
    start, stop = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    decimals = 2 - math.floor(math.log10(step))
    return [round(index * step, decimals) for index in range(start, stop + 1)]


def smoothed(values: Sequence[float], window: int) -> list[float]:
    """The centred moving average, over fewer values near the ends.

    >>> smoothed([0.0, 3.0, 6.0, 3.0], window=3)
    [1.5, 3.0, 4.0, 4.5]
    """
    half = window // 2
    spans = (values[max(0, i - half) : i + half + 1] for i in range(len(values)))
    return [math.fsum(span) / len(span) for span in spans]


def thinned(points: Sequence[Point], most: int) -> list[Point]:
    """At most `most` points: neighbours are averaged where there are more.

    >>> thinned([(0, 1.0), (1, 3.0), (2, 5.0), (3, 7.0)], most=2)
    [(0.5, 2.0), (2.5, 6.0)]
    """
    size = math.ceil(len(points) / most)
    if size <= 1:
        return list(points)
    bins = [points[start : start + size] for start in range(0, len(points), size)]
    return [(math.fsum(x for x, _ in b) / len(b), math.fsum(y for _, y in b) / len(b)) for b in bins]


def number(value: float) -> str:
    """A number in three digits, as short as they allow.

    >>> number(0.83333), number(1234.5), number(0.00012), number(-0.5)
    ('0.833', '1,234', '0.00012', '−0.5')
    """
    text = f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"
    return text.replace("-", "−")


# ------------------------------------------------------------------------------------------------------ forest plot


def _percent_x(fraction: float) -> float:
    return LABEL_WIDTH + fraction * (FOREST_WIDTH - LABEL_WIDTH - VALUE_WIDTH - 8)


def _percent_grid(top: float, bottom: float) -> Markup:
    parts = []
    for percent in (0, 25, 50, 75, 100):
        x = _percent_x(percent / 100)
        parts.append(tag("line", class_="grid", x1=x, x2=x, y1=top, y2=bottom))
        parts.append(label(x, bottom + 13, str(percent), "tick middle"))
    return Markup("").join(parts)


def _forest_row(name: str, estimates: Sequence[Estimate], middle: float) -> Markup:
    parts = [label(LABEL_WIDTH - 10, middle + 4, _shortened(name), "label end")]
    for index, estimate in enumerate(estimates):
        y = middle + 11 * (index - (len(estimates) - 1) / 2)
        parts.append(_mark(name, estimate, y))
        if index == 0:
            parts.append(label(FOREST_WIDTH, middle + 4, f"{100 * estimate.value:.1f}", "value end"))
    return Markup("").join(parts)


def _shortened(name: str) -> str:
    """A label that fits beside the plot; the marks' titles have it in full.

    >>> _shortened("sft_rejection / faulty"), _shortened("sft_rl / clean")
    ('sft_reje… / faulty', 'sft_rl / clean')
    """
    if len(name) <= _LONGEST_LABEL:
        return name
    end = _LONGEST_LABEL // 2  # arms of a sweep differ in their last word, the variant
    return name[: _LONGEST_LABEL - 1 - end] + "…" + name[-end:]


def _mark(name: str, estimate: Estimate, y: float) -> Markup:
    low, high = (_percent_x(min(max(bound, 0.0), 1.0)) for bound in estimate.ci95)
    seeds = [tag("circle", class_="seed", cx=_percent_x(value), cy=y, r=1.8) for value in estimate.per_seed.values()]
    bar = tag("line", class_="ci", x1=low, x2=high, y1=y, y2=y)
    dot = tag("circle", class_="dot", cx=_percent_x(estimate.value), cy=y, r=4)
    words = tag("title", escape(f"{name}, {_estimate_words(estimate)}"))
    return tag("g", Markup("").join([words, bar, *seeds, dot]), class_=estimate.series)


def _forest_words(title: str, rows: Mapping[str, Sequence[Estimate]], chance: float | None) -> str:
    said = [f"{name}: {'; '.join(_estimate_words(e) for e in estimates)}" for name, estimates in rows.items()]
    guess = [f"chance is {100 * chance:.1f} %"] if chance is not None else []
    return f"{title}. " + ". ".join([*said, *guess]) + "."


def _estimate_words(estimate: Estimate) -> str:
    low, high = estimate.ci95
    return f"{estimate.series} {100 * estimate.value:.1f} % [{100 * low:.1f}, {100 * high:.1f}], n = {estimate.n}"


# ------------------------------------------------------------------------------------------------------- line chart


def _y_axis(tick: float, y: float) -> Markup:
    line = tag("line", class_="grid", x1=_LEFT, x2=LINE_WIDTH - _RIGHT, y1=y, y2=y)
    return line + label(_LEFT - 6, y + 3.5, number(tick), "tick end")


def _curves(points: Sequence[Point], place: Callable[[float, float], Point]) -> list[Markup]:
    xs, ys = [x for x, _ in points], [y for _, y in points]
    parts = []
    if len(points) > _MANY_POINTS:
        parts.append(_polyline([place(x, y) for x, y in points], "curve faint"))
        ys = smoothed(ys, window=max(5, len(points) // 12))
    placed = [place(x, y) for x, y in zip(xs, ys, strict=True)]
    parts.append(_polyline(placed, "curve"))
    if len(points) <= 12:  # few enough to be told apart: validations, not training steps
        parts.extend(tag("circle", class_="knot", cx=x, cy=y, r=2.2) for x, y in placed[:-1])
    parts.append(tag("circle", class_="knot", cx=placed[-1][0], cy=placed[-1][1], r=3.2))
    return parts


def _polyline(points: Sequence[Point], class_: str) -> Markup:
    return tag("polyline", class_=class_, points=" ".join(f"{x:.1f},{y:.1f}" for x, y in points))


def _curve_words(title: str, points: Sequence[Point]) -> str:
    (first, start), (last, end) = points[0], points[-1]
    values = [y for _, y in points]
    return (
        f"{title}: {number(start)} at step {first:.0f}, {number(end)} at step {last:.0f}, "
        f"between {number(min(values))} and {number(max(values))}."
    )


def _chart(width: float, height: float, words: str, parts: Sequence[Markup]) -> Markup:
    return drawing((width, height), words, parts, "chart")
