"""The order of training data follows the configuration, and a wrong mixture is told before the run."""

from __future__ import annotations

from pathlib import Path

import pytest

from medvista.app.commands.run import main
from medvista.app.config.command_line import load_config
from medvista.app.training.data_order import demonstration_order, question_order
from medvista.data.curriculum import CurriculumSampler
from medvista.data.mixing import MixedSampler
from medvista.data.phantom_vqa import phantom_samples
from medvista.data.sampler import ResumableSampler
from medvista.notices import NOTICES

MIXED = [
    "experiment=smoke",
    "data.benchmark=vqa_rad",
    "data.more_benchmarks=[slake]",
    "data.mixing={vqa_rad: 2, slake: 1}",
]


def test_by_default_questions_are_shuffled_and_demonstrations_left_to_their_module() -> None:
    config = load_config(["experiment=smoke"])
    train = phantom_samples("train", images=2)
    order = question_order(config, train)
    assert type(order) is ResumableSampler
    assert order.take(8) == ResumableSampler(8, seed=0, endless=True).take(8)
    assert demonstration_order(config, ["phantom"] * 3) is None


def test_a_curriculum_is_mixed_where_both_are_asked_for() -> None:
    train = phantom_samples("train", images=2)
    config = load_config(["experiment=smoke", "rl.curriculum.enabled=true", "data.mixing={phantom: 3}"])
    order = question_order(config, train)
    assert isinstance(order, CurriculumSampler)
    assert order.mixing == {"phantom": 3}


def test_a_benchmark_without_demonstrations_leaves_its_share_to_the_others() -> None:
    NOTICES.clear()
    order = demonstration_order(load_config(MIXED), ["slake"] * 3)
    assert isinstance(order, MixedSampler)
    assert sorted(order.take(3)) == [0, 1, 2]
    assert [note.examples for note in NOTICES.collected()] == [("vqa_rad",)]


@pytest.mark.parametrize(
    ("overrides", "sentence"),
    [
        (["data.mixing={slake: 1}"], "data.mixing weighs slake, and what is trained on is phantom: weigh each"),
        (["data.mixing={phantom: 0}"], "data.mixing.phantom=0 has to be above 0"),
        (["rl.oversample=2", "rl.filter_on=none"], "rl.oversample=2 would play groups only to leave them out"),
    ],
)
def test_what_cannot_be_is_refused_in_a_sentence(
    tiny: list[str], overrides: list[str], sentence: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*tiny, *overrides, f"output_dir={tmp_path / 'run'}"]) == 2
    assert sentence in capsys.readouterr().err
    assert not (tmp_path / "run").exists()
