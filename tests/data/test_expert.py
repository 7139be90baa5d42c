"""The scripted expert: right where it is meant to be, and wrong as often as it is told."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
from scipy import stats

from medvista.data.expert import LOOK_THOUGHT, NEXT_LOOK_THOUGHT, ScriptedExpert
from medvista.data.phantom_vqa import FAMILIES, phantom_samples
from medvista.envs import MedicalVQAEnv
from medvista.functional.episodes import summarise
from medvista.parsing import parse_action
from medvista.policies import SamplingParams, ScriptedPolicy
from medvista.rollout import RolloutCollector
from medvista.settings import ExpertConfig
from medvista.types import Action, FinalAnswer, Region, ToolCall, VQASample


@pytest.fixture(scope="module")
def five_families() -> list[VQASample]:
    return phantom_samples("train", images=40, families=FAMILIES)


def plan(expert: ScriptedExpert, sample: VQASample, seed: int = 0) -> list[Action]:
    return [parse_action(text) for text in expert.plan(sample, seed)]


def calls(actions: Sequence[Action]) -> list[ToolCall]:
    return [action for action in actions if isinstance(action, ToolCall)]


def box_in_pixels(call: ToolCall, size: int = 448) -> list[float]:
    return [value * size / 1000 for value in call.arguments["bbox_2d"]]


def holds_centre(call: ToolCall, region: Region) -> bool:
    x1, y1, x2, y2 = box_in_pixels(call)
    x, y = (region.box[0] + region.box[2]) / 2, (region.box[1] + region.box[3]) / 2
    return x1 <= x <= x2 and y1 <= y <= y2


def test_it_takes_the_tools_a_question_needs_and_then_answers_right(five_families: list[VQASample]) -> None:
    expected = {
        "attribute": ["zoom"],
        "yes_no": ["zoom"],
        "side": [],
        "density": ["window"],
        "comparison": ["zoom", "zoom"],
    }
    for sample in five_families:
        actions = plan(ScriptedExpert(), sample)
        assert [call.name for call in calls(actions)] == expected[sample.metadata["family"]]
        assert isinstance(actions[-1], FinalAnswer)
        assert actions[-1].text == sample.answers[0]


def test_it_says_that_a_second_look_is_at_another_nodule(five_families: list[VQASample]) -> None:
    thoughts = [[call.thought for call in calls(plan(ScriptedExpert(), sample))] for sample in five_families[:5]]
    assert thoughts[4] == [LOOK_THOUGHT, NEXT_LOOK_THOUGHT]
    assert thoughts[0] == thoughts[1] == [LOOK_THOUGHT]


def test_its_boxes_hold_the_lesion_and_lie_on_the_grid(five_families: list[VQASample]) -> None:
    config = ExpertConfig()
    lines = {round(1000 * cell / config.grid) for cell in range(config.grid + 1)}
    for sample in five_families:
        zooms = [call for call in calls(plan(ScriptedExpert(config), sample)) if call.name == "zoom"]
        assert len(zooms) == len(sample.regions)
        for call, region in zip(zooms, sample.regions, strict=True):
            assert holds_centre(call, region)
            assert set(call.arguments["bbox_2d"]) <= lines
            x1, y1, x2, y2 = box_in_pixels(call)
            assert x2 - x1 == pytest.approx(config.cells * 448 / config.grid, abs=1)
            assert y2 - y1 == pytest.approx(config.cells * 448 / config.grid, abs=1)


def test_it_zooms_onto_the_first_of_many_regions(five_families: list[VQASample]) -> None:
    regions = tuple(Region(box=(64 * i, 32, 64 * i + 32, 64)) for i in range(5))
    sample = replace(five_families[0], regions=regions)
    zooms = calls(plan(ScriptedExpert(ExpertConfig(max_zooms=3)), sample))
    assert len(zooms) == 3
    assert all(holds_centre(call, region) for call, region in zip(zooms, regions, strict=False))


@pytest.mark.parametrize("place", [0.0, 0.37, 1.0])
@pytest.mark.parametrize("side", [4.0, 60.0, 300.0])
def test_a_box_covers_large_targets_and_stays_on_the_image(
    five_families: list[VQASample], place: float, side: float
) -> None:
    low = place * (448 - side)
    region = Region(box=(low, 448 - side - low, low + side, 448 - low))
    (call,) = calls(plan(ScriptedExpert(), replace(five_families[0], regions=(region,))))
    x1, y1, x2, y2 = box_in_pixels(call)
    assert min(x1, y1) >= 0
    assert max(x2, y2) <= 448
    assert holds_centre(call, region)
    assert min(x2 - x1, y2 - y1) >= min(side, 64) - 1


def test_a_region_on_another_image_is_zoomed_on_that_image(five_families: list[VQASample]) -> None:
    sample = five_families[0]
    second = replace(sample, images=sample.images * 2, regions=(replace(sample.regions[0], image=1),))
    assert [call.arguments["image"] for call in calls(plan(ScriptedExpert(), second))] == [1]
    assert "image" not in calls(plan(ScriptedExpert(), sample))[0].arguments


def test_the_same_seed_gives_the_same_plan_and_other_seeds_other_faults(five_families: list[VQASample]) -> None:
    expert = ScriptedExpert(ExpertConfig(jitter_share=1.0))
    plans = [tuple(expert.plan(five_families[0], seed)) for seed in (1, 1, *range(2, 12))]
    assert plans[0] == plans[1]
    assert len(set(plans)) > 5


@pytest.mark.parametrize("share", [0.0, 0.3, 1.0])
def test_as_many_boxes_are_off_as_configured(five_families: list[VQASample], share: float) -> None:
    config = ExpertConfig(jitter_share=share, jitter_cells=4)
    sample = five_families[0]
    (aimed,) = calls(plan(ScriptedExpert(), sample))
    boxes = [calls(plan(ScriptedExpert(config), sample, seed))[0].arguments["bbox_2d"] for seed in range(600)]
    off = sum(box != aimed.arguments["bbox_2d"] for box in boxes)
    # Of the boxes that are moved, those moved by nothing in both directions stay where they were.
    chance = share * (1 - 1 / (2 * 4 + 1) ** 2)
    assert stats.binomtest(off, 600, chance).pvalue > 0.001 if 0 < chance < 1 else off == 600 * chance
    far = np.abs(np.array(boxes) - aimed.arguments["bbox_2d"]).max() * config.grid / 1000
    assert far <= 4.1


def test_boxes_without_a_limit_are_moved_to_anywhere_on_the_image(five_families: list[VQASample]) -> None:
    expert = ScriptedExpert(ExpertConfig(jitter_share=1.0))
    boxes = [calls(plan(expert, five_families[0], seed))[0].arguments["bbox_2d"] for seed in range(1000)]
    columns, counts = np.unique([x1 for x1, _, _, _ in boxes], return_counts=True)
    assert len(columns) == 13  # places of a box of two cells on a grid of 14
    assert stats.chisquare(counts).pvalue > 0.001


@pytest.mark.parametrize("share", [0.0, 0.4, 1.0])
def test_as_many_questions_are_answered_without_looking_as_configured(
    five_families: list[VQASample], share: float
) -> None:
    expert = ScriptedExpert(ExpertConfig(direct_share=share))
    direct = sum(not calls(plan(expert, five_families[0], seed)) for seed in range(400))
    assert stats.binomtest(direct, 400, share).pvalue > 0.001 if 0 < share < 1 else direct == 400 * share


def test_without_tools_it_answers_everything_at_once(five_families: list[VQASample]) -> None:
    expert = ScriptedExpert(tools=False)
    assert all(len(expert.plan(sample, 0)) == 1 for sample in five_families)


def test_played_in_the_environment_it_is_always_right_and_always_looks_at_the_lesion(
    five_families: list[VQASample],
) -> None:
    expert = ScriptedExpert()
    engine = ScriptedPolicy(lambda t: expert.plan(t.sample, t.seed)[len(t.turns)])
    collector = RolloutCollector(lambda: MedicalVQAEnv(five_families, view_size=64), engine, None)
    shown = summarise(collector.collect(five_families, SamplingParams(), seeds=range(len(five_families))))
    assert shown["accuracy"] == shown["hit_rate"] == 1
    assert shown["tool_error_rate"] == shown["parse_error_rate"] == 0
    assert shown["tool_calls_mean"] == pytest.approx((1 + 1 + 0 + 1 + 2) / 5)
