"""The picture of an episode."""

import numpy as np
from PIL import Image, ImageColor, ImageDraw, ImageFont

from medvista.envs import MedicalVQAEnv, episode_picture
from medvista.envs.rendering import LINE, MARGIN, PANEL, RIGHT, WRONG, wrap_text
from medvista.imaging.draw import COLOURS
from medvista.parsing import format_action
from medvista.types import FinalAnswer, MedicalImage, ToolCall, VQASample

SAMPLE = VQASample(
    id="1",
    benchmark="toy",
    split="train",
    question="What shape is the nodule?",
    answers=("round",),
    images=(MedicalImage(pixels=np.zeros((400, 400), dtype=np.uint8)),),
    group_id="1",
)
ZOOM = format_action(ToolCall(name="zoom", arguments={"bbox_2d": [250, 500, 500, 750]}))


def play(*texts):
    env = MedicalVQAEnv([SAMPLE], view_size=64, render_mode="rgb_array")
    env.reset(seed=0)
    for text in texts:
        env.step(text)
    return env


def test_the_place_a_policy_looked_at_is_outlined_on_the_overview():
    page = np.asarray(episode_picture(play(ZOOM).trajectory)).astype(int)
    outline = np.abs(page - ImageColor.getrgb(COLOURS[0])).sum(axis=2) == 0
    overview = outline[60:, MARGIN : MARGIN + PANEL]  # below the titles
    columns, rows = np.flatnonzero(overview.any(axis=0)), np.flatnonzero(overview.any(axis=1))
    assert columns.min() in range(PANEL // 4 - 2, PANEL // 4 + 1)
    assert columns.max() in range(PANEL // 2 - 1, PANEL // 2 + 2)
    assert rows.max() - rows.min() in range(PANEL // 4, PANEL // 4 + 30)  # with its number above


def test_each_turn_adds_a_panel():
    widths = [play(*texts).render().shape[1] for texts in ((), (ZOOM,), (ZOOM, ZOOM))]
    assert np.diff(widths).tolist() == [PANEL + MARGIN] * 2


def test_without_a_render_mode_there_is_no_picture():
    env = MedicalVQAEnv([SAMPLE], view_size=64)
    env.reset(seed=0)
    assert env.render() is None


def test_long_texts_are_wrapped_within_their_panel(monkeypatch):
    rights = []
    draw_text = ImageDraw.ImageDraw.text

    def measured(self, xy, text, *args, **options):
        if not options.get("anchor"):
            rights.append(xy[0] + self.textlength(text, font=options["font"]))
        return draw_text(self, xy, text, *args, **options)

    monkeypatch.setattr(ImageDraw.ImageDraw, "text", measured)
    play(
        "W" * 300, "<think>" + "wide words " * 40 + "</think>" + ZOOM, format_action(FinalAnswer(text="m" * 200))
    ).render()
    assert len(rights) > 30
    assert max(rights) <= PANEL


def test_a_picture_is_rgb_whatever_happened():
    assert isinstance(episode_picture(play().trajectory), Image.Image)
    for texts in (("",), ("nonsense", ZOOM, "", ""), (ZOOM, format_action(FinalAnswer(text="round")))):
        page = play(*texts).render()
        assert page.dtype == np.uint8
        assert page.shape[2] == 3


def test_wrapping_loses_nothing_but_spaces():
    text = "one two\n\n" + "W" * 100 + " three " + "word " * 50
    lines = wrap_text(text, ImageFont.load_default(size=15))
    assert "".join(lines).replace(" ", "") == "".join(text.split())
    assert lines[:3] == ["one two", "", "W" * len(lines[2])]


def rows_of(page, colour, panel):
    left = MARGIN + panel * (PANEL + MARGIN)
    return np.flatnonzero((page[:, left : left + PANEL] == ImageColor.getrgb(colour)).all(axis=2).any(axis=1))


def test_a_crop_is_framed_in_the_colour_of_its_outline_and_level_with_the_overview():
    page = play(ZOOM).render()
    first, last = rows_of(page, COLOURS[0], panel=1)[[0, -1]]  # the title has the colour too
    frame = page[last - PANEL + 1 : last + 1, 2 * MARGIN + PANEL : 2 * (MARGIN + PANEL)]
    assert first < MARGIN + LINE
    for edge in (frame[0], frame[-1], frame[:, 0], frame[:, -1]):
        assert (edge == ImageColor.getrgb(COLOURS[0])).all()
    black = (page[:, MARGIN + PANEL - 1] == 0).all(axis=1)  # the right edge of the overview, which is black
    assert np.flatnonzero(black)[[0, -1]].tolist() == [last - PANEL + 1, last]


def test_a_right_and_a_wrong_answer_are_told_apart():
    right, wrong = (play(format_action(FinalAnswer(text=text))).render() for text in ("Round", "square"))
    assert rows_of(right, RIGHT, panel=1).size
    assert not rows_of(right, WRONG, panel=1).size
    assert rows_of(wrong, WRONG, panel=1).size
    assert not rows_of(wrong, RIGHT, panel=1).size
