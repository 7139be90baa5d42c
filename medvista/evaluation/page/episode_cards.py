"""One episode as a reader of the report sees it: pictures with boxes, thoughts, calls, what came back, the reward.

Everything here is plain data for the page's template, which escapes it; nothing here knows HTML.
"""

from __future__ import annotations

import base64
import io
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np
from PIL import Image

from medvista.functional.episodes import correct
from medvista.imaging import box_from_source, lies_on, to_display
from medvista.types import Action, FinalAnswer, MedicalImage, ParseError, Region, ToolCall, Trajectory, Turn

UriOf: TypeAlias = Callable[[MedicalImage], str]

_MOST_PIXELS = 448  # longest side of a picture in the page, so that a page of many episodes stays light


@dataclass(frozen=True, slots=True, kw_only=True)
class Outline:
    """A box on a picture, in the picture's own pixels."""

    kind: Literal["look", "evidence"]
    x: float
    y: float
    width: float
    height: float
    label: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Picture:
    """A view, with what is drawn over it."""

    uri: str  # where its pixels are: a data URI in the report, a file in the viewer
    width: int
    height: int
    alt: str
    outlines: tuple[Outline, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One turn: what the model thought, what it did, what came back."""

    number: int
    kind: Literal["call", "answer", "unreadable"]
    thought: str
    action: str  # "zoom(box=[10, 20, 30, 40])", the answer, or the text that could not be read
    written: str  # all of the model's text, as it stands
    error: str
    reply: str
    readings: tuple[tuple[str, str], ...]
    pictures: tuple[Picture, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class EpisodeCard:
    """Everything the page shows of one episode."""

    arm: str
    benchmark: str
    family: str
    sample_id: str
    question: str
    choices: tuple[str, ...]
    gold: str
    answer: str | None
    right: bool
    stop_reason: str
    reward: float | None
    terms: tuple[tuple[str, float], ...]
    pictures: tuple[Picture, ...]
    steps: tuple[Step, ...]
    prompt: str

    @property
    def calls(self) -> int:
        """How often a tool was called."""
        return sum(step.kind == "call" for step in self.steps)


def episode_card(
    arm: str, trajectory: Trajectory, uri: UriOf | None = None, is_right: Callable[[Trajectory], bool] = correct
) -> EpisodeCard:
    """The card of one episode of an arm.

    Args:
        arm: that played it.
        trajectory: the episode.
        uri: says where a view's picture is; by default in the card itself, as a data URI.
        is_right: judges its answer; by default as reward and metric do.
    """
    uri = uri or data_uri
    sample, reward = trajectory.sample, trajectory.reward
    return EpisodeCard(
        arm=arm,
        benchmark=sample.benchmark,
        family=str(sample.metadata.get("family", "")),
        sample_id=sample.id,
        question=sample.question,
        choices=sample.choices,
        gold=" or ".join(sample.answers),
        answer=trajectory.answer,
        right=is_right(trajectory),
        stop_reason=trajectory.stop_reason.value.replace("_", " ") if trajectory.stop_reason else "unfinished",
        reward=reward.total if reward else None,
        terms=tuple(reward.terms.items()) if reward else (),
        pictures=_first_pictures(trajectory, uri),
        steps=tuple(_step(i, turn, sample.regions, uri) for i, turn in enumerate(trajectory.turns, start=1)),
        prompt=trajectory.observation.text,
    )


def _first_pictures(trajectory: Trajectory, uri: UriOf) -> tuple[Picture, ...]:
    """The first views, with every look and the annotated evidence drawn on them."""
    looks = [
        (str(number), region)
        for number, turn in enumerate(trajectory.turns, start=1)
        for region in (turn.result.regions if turn.result else ())
    ]
    evidence = [(region.label, region) for region in trajectory.sample.regions]
    views = trajectory.observation.images
    pictures = []
    for index, view in enumerate(views, start=1):
        which = f" {index} of {len(views)}" if len(views) > 1 else ""
        outlines = [*_outlines(view, "evidence", evidence), *_outlines(view, "look", looks)]
        pictures.append(picture(view, f"the image{which} as first shown", outlines, uri))
    return tuple(pictures)


def _step(number: int, turn: Turn, evidence: Sequence[Region], uri: UriOf) -> Step:
    kind, action = _action_words(turn.action, turn.completion.text)
    result, observation = turn.result, turn.observation
    error = result.error if result else None
    pictures = []
    for view in observation.images if observation else ():
        outlines = _outlines(view, "evidence", [(region.label, region) for region in evidence])
        pictures.append(picture(view, f"what step {number} brought back", outlines, uri))
    return Step(
        number=number,
        kind=kind,
        thought=turn.action.thought.strip(),
        action=action,
        written=turn.completion.text,
        error=f"{error.type.value.replace('_', ' ')}: {error.message}" if error else "",
        reply=(observation.text if observation else "").strip(),
        readings=tuple((name, _short(value)) for name, value in result.data.items()) if result else (),
        pictures=tuple(pictures),
    )


def _action_words(action: Action, written: str) -> tuple[Literal["call", "answer", "unreadable"], str]:
    match action:
        case ToolCall():
            arguments = ", ".join(f"{name}={_short(value)}" for name, value in action.arguments.items())
            return "call", f"{action.name}({arguments})"
        case FinalAnswer():
            return "answer", action.text
        case ParseError():
            return "unreadable", written


def _short(value: object) -> str:
    if isinstance(value, float):
        return f"{value:.4g}"
    return json.dumps(value, ensure_ascii=False, default=str)


# ------------------------------------------------------------------------------------------------------------ pictures


def picture(view: MedicalImage, alt: str, outlines: Sequence[Outline], uri: UriOf) -> Picture:
    """A view where `uri` says it is, with outlines in the view's own pixels."""
    width, height = view.size
    return Picture(uri=uri(view), width=width, height=height, alt=_described(alt, outlines), outlines=tuple(outlines))


def data_uri(view: MedicalImage) -> str:
    """A view as an 8-bit PNG in a data URI; a large one is made smaller."""
    image = Image.fromarray(to_display(view))
    image.thumbnail((_MOST_PIXELS, _MOST_PIXELS))
    buffer = io.BytesIO()
    image.save(buffer, format="PNG", optimize=True)
    return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode("ascii")


def _outlines(
    view: MedicalImage, kind: Literal["look", "evidence"], regions: Sequence[tuple[str, Region]]
) -> list[Outline]:
    """The regions on this view's source image as boxes in the view's pixels; those outside the view are left out."""
    outlines = []
    for label, region in regions:
        x1, y1, x2, y2 = box_from_source(view, region.box)
        inside = x1 < view.size[0] and y1 < view.size[1] and x2 > 0 and y2 > 0
        if lies_on(region, view) and inside and np.isfinite([x1, y1, x2, y2]).all():
            outlines.append(Outline(kind=kind, x=x1, y=y1, width=x2 - x1, height=y2 - y1, label=label))
    return outlines


def _described(alt: str, outlines: Sequence[Outline]) -> str:
    """The picture in words: what it is, and where the boxes lie on it."""
    named = {"look": "look", "evidence": "annotated evidence"}
    boxes = [
        f"{named[o.kind]} {o.label}".strip()
        + f" from ({o.x:.0f}, {o.y:.0f}) to ({o.x + o.width:.0f}, {o.y + o.height:.0f})"
        for o in outlines
    ]
    return "; ".join([alt, *boxes])
