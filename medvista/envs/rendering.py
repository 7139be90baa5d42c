"""An episode as one picture: what was shown, where the policy looked, what it wrote."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TypeAlias

from PIL import Image, ImageDraw, ImageFont

from medvista.imaging import box_from_source, box_to_source, draw_boxes, fit, to_picture
from medvista.imaging.draw import COLOURS
from medvista.types import Box, FinalAnswer, MedicalImage, Observation, ParseError, Trajectory, Turn

PANEL = 320  # width of a panel in pixels
MARGIN = 16
TEXT_SIZE = 15
LINE = 20
Font: TypeAlias = ImageFont.FreeTypeFont | ImageFont.ImageFont
_PAPER, _INK, _FAINT = "#14161a", "#e8e8e8", "#9aa0a6"


@dataclass(frozen=True, slots=True, kw_only=True)
class Panel:
    """A column of the picture: images, one under another, with texts below."""

    title: str
    pictures: tuple[Image.Image, ...]
    texts: tuple[tuple[str, str], ...]  # paragraphs, each with its colour
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
    return Panel(
        title=_seen("Question", trajectory.observation), pictures=pictures, texts=((trajectory.observation.text, _INK),)
    )


def _overview(trajectory: Trajectory, image: MedicalImage) -> Image.Image:
    """One of the sample's images with the outline of each look at it, numbered and coloured by turn."""
    big = _enlarged(image)
    boxes, labels, colours = [], [], []
    # Neither the whole image, nor a place twice: its second outline, of another window, would hide the first.
    outlined = {_whole_pixels(box_to_source(image, (0, 0, *image.size)))}
    for number, turn in enumerate(trajectory.turns):
        for region in turn.result.regions if turn.result else ():
            place = _whole_pixels(region.box)
            if region.image == image.source and place not in outlined:
                outlined.add(place)
                boxes.append(box_from_source(big, region.box))
                labels.append(str(number + 1))
                colours.append(_colour(number))
    return draw_boxes(to_picture(big), boxes, labels, colours or COLOURS)


def _whole_pixels(box: Box) -> tuple[int, ...]:
    return tuple(round(side) for side in box)


def _turn_panels(trajectory: Trajectory) -> Iterator[Panel]:
    for number, turn in enumerate(trajectory.turns):
        pictures = tuple(to_picture(_enlarged(image)) for image in turn.observation.images) if turn.observation else ()
        texts = _turn_texts(turn)
        if turn is trajectory.turns[-1] and trajectory.done:
            texts = (*texts, (_ending(trajectory), _FAINT))
        yield Panel(
            title=_seen(f"Turn {number + 1}", turn.observation), pictures=pictures, texts=texts, colour=_colour(number)
        )


def _seen(title: str, observation: Observation | None) -> str:
    """The title with the size the policy saw, which is smaller than what people are shown."""
    if observation is None or not observation.images:
        return title
    width, height = observation.images[0].size
    return f"{title}  (seen at {width} x {height})"


def _turn_texts(turn: Turn) -> tuple[tuple[str, str], ...]:
    """What the policy thought and wrote, and below it what came back."""
    action = turn.action
    if isinstance(action, ParseError):
        said = turn.completion.text
    elif isinstance(action, FinalAnswer):
        said = f"Answer: {action.text}"
    else:
        arguments = ", ".join(f"{name}={value}" for name, value in action.arguments.items())
        said = f"{action.name}({arguments})"
    returned = turn.observation.text if turn.observation else ""
    return (action.thought, _INK), (said, _INK), (returned, _FAINT)


def _ending(trajectory: Trajectory) -> str:
    accepted = f"Accepted: {', '.join(trajectory.sample.answers)}"
    if trajectory.reward is None:
        return accepted
    terms = [f"- {name} {value:g}" for name, value in trajectory.reward.terms.items()]
    return "\n".join([accepted, f"Reward {trajectory.reward.total:.3g}, from", *terms])


def _draw_panel(panel: Panel) -> Image.Image:
    font = ImageFont.load_default(size=TEXT_SIZE)
    paragraphs = [(wrap_text(text, font), colour) for text, colour in panel.texts if text]
    lines = [(line, colour) for wrapped, colour in paragraphs for line in (*wrapped, "")]
    pictures_height = sum(picture.height + MARGIN // 2 for picture in panel.pictures)
    column = Image.new("RGB", (PANEL, LINE + MARGIN // 2 + pictures_height + LINE * len(lines)), _PAPER)
    pen = ImageDraw.Draw(column)
    pen.text((0, 0), panel.title, fill=panel.colour, font=font)
    top = LINE + MARGIN // 2
    for picture in panel.pictures:
        column.paste(picture, ((PANEL - picture.width) // 2, top))
        top += picture.height + MARGIN // 2
    for line, colour in lines:
        pen.text((0, top), line, fill=colour, font=font)
        top += LINE
    return column


def wrap_text(text: str, font: Font) -> list[str]:
    """Lines that fit a panel; words that do not, such as JSON, are cut."""
    lines: list[str] = []
    for paragraph in text.splitlines():
        lines.append("")
        for word in paragraph.split():
            joined = f"{lines[-1]} {word}".lstrip()
            if font.getlength(joined) <= PANEL:
                lines[-1] = joined
                continue
            if not lines[-1]:
                lines.pop()  # a word too long for any line begins on the first
            lines.extend(_cut(word, font))
    return lines


def _cut(word: str, font: Font) -> list[str]:
    """The pieces of a word, each as long as fits a panel."""
    pieces = [""]
    for character in word:
        if font.getlength(pieces[-1] + character) > PANEL:
            pieces.append("")
        pieces[-1] += character
    return pieces


def _enlarged(image: MedicalImage) -> MedicalImage:
    return fit(image, PANEL)


def _colour(turn: int) -> str:
    return COLOURS[turn % len(COLOURS)]
