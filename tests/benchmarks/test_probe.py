"""The probe that tells what a phantom's overview hides."""

from __future__ import annotations

import json

import numpy as np
import pytest

from benchmarks.probe import VIEWS, evaluate, labelled_views, main, train_probe
from medvista.data.phantom_vqa import phantom_samples
from medvista.data.phantoms import KINDS, LUNG_WINDOW, SIZE
from medvista.envs import MedicalVQAEnv
from medvista.types import Split


@pytest.mark.parametrize("split", ["train", "validation"])
def test_the_overview_and_the_kinds_are_those_of_the_questions_of_the_split(split: Split) -> None:
    views, kinds = labelled_views(split, 3)
    for index, sample in enumerate(phantom_samples(split, images=3, families=["attribute"])):
        observation, _ = MedicalVQAEnv([sample], view_size=64).reset(seed=0)
        assert np.array_equal(views["overview"][index, 0], observation.images[0].pixels)
        assert KINDS[kinds[index]] == sample.answers[0]


def test_the_views_at_the_nodule_are_centred_on_it() -> None:
    views, _ = labelled_views("train", 2)
    for index, sample in enumerate(phantom_samples("train", images=2, families=["attribute"])):
        x1, y1, x2, y2 = sample.regions[0].box
        column, row = int((x1 + x2) / 2), int((y1 + y2) / 2)
        small = views["overview_at_nodule"][index, 0]
        assert small.shape == (9, 9)
        assert small[4, 4] == views["overview"][index, 0, row * 64 // SIZE, column * 64 // SIZE]
        source = sample.images[0].pixels[row - 32 : row + 32, column - 32 : column + 32]
        grey = (source - (LUNG_WINDOW.centre - LUNG_WINDOW.width / 2)) / LUNG_WINDOW.width * 255
        assert np.abs(views["native_crop"][index, 0].numpy() - np.clip(grey, 0, 255)).max() <= 1


def test_the_last_line_is_json_with_wilson_intervals(capsys: pytest.CaptureFixture[str]) -> None:
    main(["--train-images", "24", "--test-images", "20", "--epochs", "1"])
    *_, last = capsys.readouterr().out.splitlines()
    found = json.loads(last)
    assert found.keys() == {*VIEWS, "chance"}
    assert found["chance"] == pytest.approx(1 / len(KINDS))
    for view in VIEWS:
        low, high = found[view]["ci95"]
        assert found[view]["n"] == 20
        assert low < found[view]["accuracy"] < high


def test_a_size_of_nothing_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        main(["--test-images", "0"])
    assert stop.value.code == 2
    assert "at least 1" in capsys.readouterr().err


@pytest.mark.slow
def test_the_kind_is_read_from_the_native_crop_and_not_from_the_overview_even_where_the_nodule_is() -> None:
    train_views, train_kinds = labelled_views("train", 3000)
    test_views, test_kinds = labelled_views("validation", 1000)
    scores = {
        view: evaluate(train_probe(train_views[view], train_kinds, epochs=4, seed=0), test_views[view], test_kinds)
        for view in ("overview_at_nodule", "native_crop")
    }
    assert scores["overview_at_nodule"].accuracy < 1 / len(KINDS) + 0.05
    assert scores["native_crop"].accuracy > 0.9
