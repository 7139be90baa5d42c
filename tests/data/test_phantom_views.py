"""What the nano model is pre-trained on says what is drawn."""

from __future__ import annotations

from collections import Counter

import pytest

from medvista.data.phantom_views import CaptionedView, captioned_views
from medvista.data.phantoms import KINDS, draw_phantom
from medvista.imaging import box_from_model


def views(*, nodules: int, phantoms: int = 30) -> list[CaptionedView]:
    drawn = [draw_phantom(seed, nodules=2 if nodules == 2 else 1) for seed in range(phantoms)]
    return captioned_views(drawn, view_size=64, grid=14, cells=2, seed=0)


@pytest.mark.parametrize("nodules", [1, 2])
def test_an_overview_is_captioned_with_the_place_of_every_nodule_the_patients_right_first(nodules: int) -> None:
    phantom = draw_phantom(3, nodules=2 if nodules == 2 else 1)
    (overview, *_) = captioned_views([phantom], view_size=64, grid=14, cells=2, seed=0)
    sentences = [sentence for sentence in overview.caption.split("A nodule in the ") if sentence]
    assert [sentence.split()[0] for sentence in sentences] == [nodule.side for nodule in phantom.nodules]
    for sentence, nodule in zip(sentences, phantom.nodules, strict=True):
        numbers = [int(number) for number in sentence.partition("[")[2].rstrip(" ].").split(", ")]
        x1, y1, x2, y2 = box_from_model(numbers, phantom.image.size)
        assert x1 <= nodule.centre[0] <= x2
        assert y1 <= nodule.centre[1] <= y2


def test_a_crop_is_captioned_with_a_kind_and_whether_it_is_the_one_asked_about() -> None:
    asked = [view for view in views(nodules=1, phantoms=300) if view.prompt.startswith("Is the nodule ")]
    verdicts = Counter()
    for view in asked:
        named = view.prompt.removeprefix("Is the nodule ").rstrip("?")
        said, verdict = view.caption.removeprefix("It is ").split(".\n")
        assert said in KINDS
        assert verdict == ("yes" if said == named else "no")
        verdicts[verdict] += 1
    assert 0.4 < verdicts["yes"] / verdicts.total() < 0.6


def test_two_nodules_make_no_more_views_than_one() -> None:
    assert len(views(nodules=2, phantoms=4)) == len(views(nodules=1, phantoms=4)) == 16
