"""An episode as one picture: what was shown, where the policy looked, what it wrote."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from typing import TypeAlias

from PIL import Image, ImageDraw, ImageFont

from medvista.functional.text import exact_match
from medvista.imaging import box_from_source, box_to_source, draw_boxes, fit, lies_on, to_picture
from medvista.imaging.draw import COLOURS
from medvista.types import Box, FinalAnswer, MedicalImage, Observation, ParseError, Trajectory, Turn

PANEL = 320  # width of a panel in pixels
MARGIN = 16
TEXT_SIZE = 15
LINE = 20
FRAME = 2
Font: TypeAlias = ImageFont.FreeTypeFont | ImageFont.ImageFont
Paragraph: TypeAlias = tuple[str, str]  # text, colour
_PAPER, _INK, _FAINT = "#14161a", "#e8e8e8", "#9aa0a6"
RIGHT, WRONG = "#80ed99", "#ff6b6b"


@dataclass(frozen=True, slots=True, kw_only=True)
class Panel:
    """A column of the picture, in the order things happened: what was said, then the images and texts it brought."""

    title: str
    said: tuple[Paragraph, ...]
    pictures: tuple[Image.Image, ...]
    returned: tuple[Paragraph, ...] = ()
    colour: str = _INK  # of the title
    frame: str | None = None  # around the pictures: the colour of the outline that shows where they were taken


def episode_picture(trajectory: Trajectory) -> Image.Image:
    """Draw an episode, left to right: the question with every look outlined, then each turn with what came back.

    Args:
        trajectory: finished or not.

    Returns:
        An RGB picture whose height follows its content.
    """
    panels = [_question_panel(trajectory), *_turn_panels(trajectory)]
    # Pictures begin at one height in all panels: crops are compared with the overview beside them.
    pictures_top = max(_said_height(panel) for panel in panels)
    columns = [_draw_panel(panel, pictures_top) for panel in panels]
    width = MARGIN + len(columns) * (PANEL + MARGIN)
    page = Image.new("RGB", (width, max(column.height for column in columns) + 2 * MARGIN), _PAPER)
    for index, column in enumerate(columns):
        page.paste(column, (MARGIN + index * (PANEL + MARGIN), MARGIN))
    return page


def _question_panel(trajectory: Trajectory) -> Panel:
    observation = trajectory.observation
    pictures = tuple(_overview(trajectory, image) for image in observation.images)
    return Panel(title="Question", said=((observation.text, _INK),), pictures=pictures, returned=_seen(observation))


def _overview(trajectory: Trajectory, image: MedicalImage) -> Image.Image:
    """One of the sample's images with the outline of each look at it, numbered and coloured by turn."""
    big = _enlarged(image)
    boxes, labels, colours = [], [], []
    # Neither the whole image, nor a place twice: its second outline, of another window, would hide the first.
    outlined = {_whole_pixels(box_to_source(image, (0, 0, *image.size)))}
    for number, turn in enumerate(trajectory.turns):
        for region in turn.result.regions if turn.result else ():
            place = _whole_pixels(region.box)
            if lies_on(region, image) and place not in outlined:
                outlined.add(place)
                boxes.append(box_from_source(big, region.box))
                labels.append(str(number + 1))
                colours.append(_colour(number))
    return draw_boxes(to_picture(big), boxes, labels, colours or COLOURS)


def _whole_pixels(box: Box) -> tuple[int, ...]:
    return tuple(round(side) for side in box)


def _turn_panels(trajectory: Trajectory) -> Iterator[Panel]:
    for number, turn in enumerate(trajectory.turns):
        colour = _colour(number)
        returned = _returned(turn.observation)
        if turn is trajectory.turns[-1] and trajectory.done:
            returned = (*returned, *_ending(trajectory))
        yield Panel(
            title=f"Turn {number + 1}",
            said=_said(turn),
            pictures=tuple(to_picture(_enlarged(image)) for image in turn.observation.images)
            if turn.observation
            else (),
            returned=returned,
            colour=colour,
            frame=colour,
        )


def _said(turn: Turn) -> tuple[Paragraph, ...]:
    """What the policy thought, and the call or the answer it wrote."""
    action = turn.action
    if isinstance(action, ParseError):
        said = turn.completion.text
    elif isinstance(action, FinalAnswer):
        said = f"Answer: {action.text}"
    else:
        arguments = ", ".join(f"{name}={value}" for name, value in action.arguments.items())
        said = f"{action.name}({arguments})"
    return (action.thought, _FAINT), (said, _INK)


def _returned(observation: Observation | None) -> tuple[Paragraph, ...]:
    return () if observation is None else ((observation.text, _INK), *_seen(observation))


def _seen(observation: Observation) -> tuple[Paragraph, ...]:
    """The size the policy saw, which is smaller than what people are shown."""
    sizes = dict.fromkeys(f"{width} x {height}" for width, height in (image.size for image in observation.images))
    return ((f"The policy sees {', '.join(sizes)} pixels.", _FAINT),) if sizes else ()


def _ending(trajectory: Trajectory) -> Iterator[Paragraph]:
    """The verdict on the answer, and what the episode earned."""
    sample, answer = trajectory.sample, trajectory.answer
    right = answer is not None and exact_match(answer, sample.answers, sample.choices)
    yield ("Right" if right else f"Wrong; accepted: {', '.join(sample.answers)}"), (RIGHT if right else WRONG)
    if trajectory.reward is not None:
        terms = [f"- {name} {value:g}" for name, value in trajectory.reward.terms.items()]
        yield "\n".join([f"Reward {trajectory.reward.total:.3g}, from", *terms]), _INK


def _said_height(panel: Panel) -> int:
    return LINE + MARGIN // 2 + LINE * len(_lines(panel.said)) + MARGIN


def _draw_panel(panel: Panel, pictures_top: int) -> Image.Image:
    returned = _lines(panel.returned)
    pictures_height = sum(picture.height + MARGIN // 2 for picture in panel.pictures)
    column = Image.new("RGB", (PANEL, pictures_top + pictures_height + LINE * len(returned)), _PAPER)
    pen = ImageDraw.Draw(column)
    _write(pen, [(panel.title, panel.colour)], 0)
    _write(pen, _lines(panel.said), LINE + MARGIN // 2)
    top = pictures_top
    for picture in panel.pictures:
        left = (PANEL - picture.width) // 2
        column.paste(picture, (left, top))
        if panel.frame:
            edges = (left, top, left + picture.width - 1, top + picture.height - 1)
            pen.rectangle(edges, outline=panel.frame, width=FRAME)
        top += picture.height + MARGIN // 2
    _write(pen, returned, top)
    return column


def _write(pen: ImageDraw.ImageDraw, lines: Sequence[Paragraph], top: int) -> None:
    for number, (line, colour) in enumerate(lines):
        pen.text((0, top + number * LINE), line, fill=colour, font=_font())


def _lines(paragraphs: Sequence[Paragraph]) -> list[Paragraph]:
    """The paragraphs as lines that fit a panel, an empty one between them."""
    lines: list[Paragraph] = []
    for text, colour in paragraphs:
        if text:
            lines.extend((line, colour) for line in (*([""] if lines else []), *wrap_text(text, _font())))
    return lines


@cache
def _font() -> Font:
    return ImageFont.load_default(size=TEXT_SIZE)


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
