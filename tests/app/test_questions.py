"""Which questions a run trains on, validates on and tests on, when there are several benchmarks."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from medvista.app.config.command_line import load_config
from medvista.app.questions import Questions
from medvista.errors import UserError
from medvista.notices import NOTICES

ROWS = {
    "ward": ["a,train", "b,train", "c,validation", "a,test", "d,test"],
    "clinic": ["e,train", "d,train", "f,validation", "g,test"],
}


@pytest.fixture
def sets(tmp_path: Path) -> dict[str, Path]:
    """Two question sets; an image of each one's train split is in a test split, once of the other's."""
    rng = np.random.default_rng(0)
    for name in "abcdefg":
        coarse = Image.fromarray(rng.integers(0, 255, (6, 6), dtype=np.uint8))
        coarse.resize((64, 64)).save(tmp_path / f"{name}.png")
    columns = "{question: question, answer: answer, image: image, split: split}"
    for name, rows in ROWS.items():
        lines = ["question,answer,image,split", *(f"Dark?,yes,{row.replace(',', '.png,')}" for row in rows)]
        (tmp_path / f"{name}.csv").write_text("\n".join(lines) + "\n")
        text = f"name: {name}\nquestions: {name}.csv\nimages: .\ncolumns: {columns}\n"
        (tmp_path / f"{name}.yaml").write_text(text)
    return {name: tmp_path / f"{name}.yaml" for name in ROWS}


def questions(sets: dict[str, Path], tmp_path: Path, *more: str) -> Questions:
    given = [f"data.benchmark={sets['ward']}", f"data.more_benchmarks=[{sets['clinic']}]"]
    return Questions(load_config(["experiment=slake_nano", *given, f"cache_dir={tmp_path / 'cache'}", *more]))


def images(samples: list) -> list[str]:
    return [sample.images[0].stem for sample in samples]


def test_training_questions_of_all_benchmarks_are_mixed_and_each_is_validated_and_tested(sets, tmp_path):
    found = questions(sets, tmp_path)

    assert images(found.train) == ["a", "b", "e", "d"]
    assert {name: images(samples) for name, samples in found.validation.items()} == {"ward": ["c"], "clinic": ["f"]}
    assert {name: images(samples) for name, samples in found.test.items()} == {"ward": ["a", "d"], "clinic": ["g"]}


def test_a_baseline_is_fitted_on_the_training_questions_of_its_own_benchmark(sets, tmp_path):
    found = questions(sets, tmp_path)

    assert images(found.train_of("ward")) == ["a", "b"]
    assert images(found.train_of("clinic")) == ["e", "d"]


def test_questions_about_test_images_of_any_benchmark_are_left_out_and_counted(sets, tmp_path):
    NOTICES.clear()
    found = questions(sets, tmp_path, "data.exclude_test_images=true")

    assert images(found.train) == ["b", "e"], "a is in ward's own test set, d in it too, though clinic trains on it"
    assert [(notice.count, notice.what[:32]) for notice in NOTICES.collected()] == [
        (2, "train questions about test image")
    ]
    assert images(found.seen_in_training["clinic"]) == ["e", "f"], "leakage is measured of what was trained on"


def test_other_benchmarks_may_be_tested_than_those_trained_on(sets, tmp_path):
    given = [f"data.benchmark={sets['ward']}", f"benchmarks=[{sets['clinic']}]"]
    found = Questions(load_config(["experiment=slake_nano", *given]))

    assert images(found.train) == ["a", "b"]
    assert list(found.test) == ["clinic"]
    assert list(found.validation) == ["ward", "clinic"]


def test_nothing_left_to_train_on_is_one_sentence(sets, tmp_path):
    (tmp_path / "ward.csv").write_text("question,answer,image,split\nDark?,yes,a.png,train\nDark?,yes,a.png,test\n")
    found = Questions(
        load_config(
            [
                "experiment=slake_nano",
                f"data.benchmark={sets['ward']}",
                "data.exclude_test_images=true",
                f"cache_dir={tmp_path / 'cache'}",
            ]
        )
    )
    with pytest.raises(UserError, match="exclude_test_images leaves no train question"):
        _ = found.train
