"""An episode as one picture: what was shown, where the policy looked, what it wrote."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from PIL import Image, ImageDraw, ImageFont

from medvista.imaging import box_from_source, draw_boxes, fit, to_picture
from medvista.imaging.draw import COLOURS
from medvista.types import FinalAnswer, MedicalImage, ParseError, Trajectory, Turn

PANEL = 320  # width of a panel in pixels
MARGIN = 16
TEXT_SIZE = 15
LINE = 20
_PAPER, _INK, _FAINT = "#14161a", "#e8e8e8", "#9aa0a6"


@dataclass(frozen=True, slots=True, kw_only=True)
class Panel:
    """A column of the picture: images, one under another, with texts below."""

    title: str
    pictures: tuple[Image.Image, ...]
    text: str
    colour: str = _INK


def episode_picture(trajectory: Trajectory) -> Image.Image:
    """Draw an episode, left to right: the images with every look outlined, then each turn with what came back.

    Args:
        trajectory: finished or not.

    Returns:
        An RGB picture whose height follows its content.
    """
    panels = [_question_panel(trajectory), *_turn_panels(trajectory)]
    columns = [_draw_panel(panel) for panel in panels]
    width = MARGIN + len(columns) * (PANEL + MARGIN)
    page = Image.new("RGB", (width, max(column.height for column in columns) + 2 * MARGIN), _PAPER)
    for index, column in enumerate(columns):
        page.paste(column, (MARGIN + index * (PANEL + MARGIN), MARGIN))
    return page


def _question_panel(trajectory: Trajectory) -> Panel:
    pictures = tuple(_overview(trajectory, image) for image in trajectory.observation.images)
    return Panel(title="Question", pictures=pictures, text=trajectory.observation.text)


def _overview(trajectory: Trajectory, image: MedicalImage) -> Image.Image:
    """One of the sample's images with the outline of each look at it, numbered and coloured by turn."""
    big = _enlarged(image)
    boxes, labels, colours = [], [], []
    for number, turn in enumerate(trajectory.turns):
        for region in turn.result.regions if turn.result else ():
            if region.image == image.source:
                boxes.append(box_from_source(big, region.box))
                labels.append(str(number + 1))
                colours.append(_colour(number))
    return draw_boxes(to_picture(big), boxes, labels, colours or COLOURS)


def _turn_panels(trajectory: Trajectory) -> Iterator[Panel]:
    for number, turn in enumerate(trajectory.turns):
        pictures = tuple(to_picture(_enlarged(image)) for image in turn.observation.images) if turn.observation else ()
        text = "\n\n".join(part for part in _turn_texts(turn) if part)
        if turn is trajectory.turns[-1] and trajectory.done:
            text = f"{text}\n\n{_ending(trajectory)}"
        yield Panel(title=f"Turn {number + 1}", pictures=pictures, text=text, colour=_colour(number))


def _turn_texts(turn: Turn) -> Sequence[str]:
    action = turn.action
    if isinstance(action, ParseError):
        said = turn.completion.text
    elif isinstance(action, FinalAnswer):
        said = f"Answer: {action.text}"
    else:
        arguments = ", ".join(f"{name}={value}" for name, value in action.arguments.items())
        said = f"{action.name}({arguments})"
    returned = turn.observation.text if turn.observation else ""
    return action.thought, said, returned


def _ending(trajectory: Trajectory) -> str:
    accepted = f"Accepted: {', '.join(trajectory.sample.answers)}"
    if trajectory.reward is None:
        return accepted
    terms = ", ".join(f"{name} {value:g}" for name, value in trajectory.reward.terms.items())
    return f"{accepted}\nReward {trajectory.reward.total:.3g} ({terms})"


def _draw_panel(panel: Panel) -> Image.Image:
    font = ImageFont.load_default(size=TEXT_SIZE)
    lines = _wrap(panel.text, font)
    pictures_height = sum(picture.height + MARGIN // 2 for picture in panel.pictures)
    column = Image.new("RGB", (PANEL, LINE + MARGIN // 2 + pictures_height + LINE * len(lines)), _PAPER)
    pen = ImageDraw.Draw(column)
    pen.text((0, 0), panel.title, fill=panel.colour, font=font)
    top = LINE + MARGIN // 2
    for picture in panel.pictures:
        column.paste(picture, ((PANEL - picture.width) // 2, top))
        top += picture.height + MARGIN // 2
    for line in lines:
        pen.text((0, top), line, fill=_FAINT if line.startswith(("Accepted", "Reward")) else _INK, font=font)
        top += LINE
    return column


def _wrap(text: str, font: ImageFont.FreeTypeFont | ImageFont.ImageFont) -> list[str]:
    """Lines that fit a panel; long words, such as JSON, are cut."""
    characters = max(int(PANEL / font.getlength("n")), 1)
    return [part for line in text.splitlines() for part in (textwrap.wrap(line, characters) or [""])]


def _enlarged(image: MedicalImage) -> MedicalImage:
    return fit(image, PANEL)


def _colour(turn: int) -> str:
    return COLOURS[turn % len(COLOURS)]
