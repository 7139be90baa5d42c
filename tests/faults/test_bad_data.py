"""Data that cannot be used: left out and named up to the share that is allowed, and the run's end past it."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from medvista.app.commands.run import main
from medvista.app.config.command_line import load_config
from medvista.app.questions import Questions
from medvista.data.bad_data import BadData, ImageCheck, leaving_out
from medvista.data.leakage import measure_leakage
from medvista.data.trajectories import read_trajectories, write_trajectories
from medvista.errors import UserError
from medvista.evaluation.numbers.results_file import read_results
from medvista.policies import VLMPolicy
from medvista.types import MedicalImage, Observation, Trajectory, VQASample

pytestmark = pytest.mark.faults

COLUMNS = "{question: question, answer: answer, image: file, split: split, id: id}"


@pytest.fixture
def ward(tmp_path: Path) -> Path:
    """Twenty test questions, each about a picture of its own, and as many for training; none of them bad yet."""
    rng = np.random.default_rng(0)
    lines = ["id,question,answer,file,split"]
    for split in ("train", "test"):
        for number in range(20):
            name = f"{split}-{number}"
            Image.fromarray(rng.integers(0, 255, (24, 24), dtype=np.uint8)).save(tmp_path / f"{name}.png")
            lines.append(f"{name},Is it dark?,{'yes' if number % 2 else 'no'},{name}.png,{split}")
    (tmp_path / "questions.csv").write_text("\n".join(lines) + "\n")
    own = tmp_path / "ward.yaml"
    own.write_text(f"name: ward\nquestions: questions.csv\nimages: .\ncolumns: {COLUMNS}\n")
    return own


def damage(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:60])


def questions(ward: Path, *overrides: str) -> Questions:
    given = [f"data.benchmark={ward}", f"cache_dir={ward.parent / 'cache'}", f"output_dir={ward.parent / 'run'}"]
    return Questions(load_config(["experiment=smoke", *given, *overrides]))


def test_a_damaged_test_image_is_refused_by_name_unless_a_share_is_allowed(ward: Path) -> None:
    damage(ward.parent / "test-3.png")
    with pytest.raises(UserError, match=r"1 of 20 .* test questions of ward: ward, question test-3 .*max_bad_fraction"):
        _ = questions(ward).test
    allowing = questions(ward, "data.max_bad_fraction=0.05")
    assert [sample.id for sample in allowing.test["ward"]] == [f"test-{n}" for n in range(20) if n != 3]
    (line,) = allowing.bad_data_lines()
    assert line.startswith("1 of 20 were left out of the test questions of ward")
    assert "question test-3" in line


def test_rows_and_images_count_together_towards_the_share(ward: Path) -> None:
    table = ward.parent / "questions.csv"
    table.write_text(table.read_text().replace("test-5,Is it dark?,yes", "test-5,Is it dark?,"))
    (ward.parent / "test-6.png").unlink()
    damage(ward.parent / "test-7.png")
    with pytest.raises(UserError, match="row 25"):  # strict: the first, as before
        _ = questions(ward).test
    with pytest.raises(UserError, match="3 of 20") as refused:
        _ = questions(ward, "data.max_bad_fraction=0.1").test
    assert all(name in str(refused.value) for name in ("test-6.png", "test-7", '"answer" is empty'))
    found = questions(ward, "data.max_bad_fraction=0.15").test["ward"]
    assert len(found) == 17
    assert not {"test-5", "test-6", "test-7"} & {sample.id for sample in found}


def test_a_line_that_is_no_json_is_a_bad_row(ward: Path) -> None:
    good = '{"id": "%d", "question": "Is it dark?", "answer": "no", "file": "test-1.png", "split": "test"}'
    rows = [good % number for number in range(20)]
    rows[4] = rows[4][:30]
    (ward.parent / "questions.jsonl").write_text("\n".join(rows) + "\n")
    ward.write_text(ward.read_text().replace("questions.csv", "questions.jsonl"))
    assert len(questions(ward, "data.max_bad_fraction=0.05").test["ward"]) == 19
    with pytest.raises(UserError, match="line 5 is not valid JSON"):
        _ = questions(ward).test


def test_training_looks_at_images_as_they_are_drawn_and_remembers_what_it_left_out(ward: Path) -> None:
    damage(ward.parent / "train-2.png")
    allowing = questions(ward, "data.max_bad_fraction=0.05")
    train = allowing.train
    assert len(train) == 20  # none was opened yet
    (ward.parent / "run").mkdir()
    assert allowing.image_check.unreadable(train[:5]) == {2}
    assert allowing.image_check.unreadable(train[2:4]) == {0}
    resumed = questions(ward, "data.max_bad_fraction=0.05").image_check
    assert list(resumed.bad.found) == ["ward, question train-2"]
    damage(ward.parent / "train-9.png")
    with pytest.raises(UserError, match="2 of 20"):
        resumed.unreadable(train[5:12])


def test_by_default_one_image_in_a_hundred_may_turn_out_bad_in_training(ward: Path) -> None:
    assert questions(ward).image_check.bad.allowed == 0.01
    assert questions(ward, "data.max_bad_fraction=0").image_check.bad.allowed == 0.0


def test_a_damaged_training_image_does_not_end_the_search_for_leakage(ward: Path) -> None:
    damage(ward.parent / "train-2.png")
    strict = questions(ward)
    report = measure_leakage({"ward": strict.train}, {"ward": strict.test["ward"]})
    assert report.overlaps[0].train_images == 19


def test_lines_of_demonstrations_are_left_out_up_to_the_share(tmp_path: Path) -> None:
    view = MedicalImage(pixels=np.zeros((8, 8), dtype=np.uint8))
    sample = VQASample(
        id="q", benchmark="b", split="train", question="Is it?", answers=("no",), images=(view,), group_id="g"
    )
    episode = Trajectory(sample=sample, observation=Observation(text="Is it?", images=(view,)), seed=0)
    path = tmp_path / "mine.jsonl"
    write_trajectories(path, [episode] * 4)
    path.write_bytes(path.read_bytes() + b'{"sample": 3}\n')
    with pytest.raises(UserError, match="line 5"):
        list(read_trajectories(path))
    bad = BadData("the demonstrations", 0.2, total=5)
    with leaving_out(bad):
        assert len(list(read_trajectories(path))) == 4
    bad.check()
    assert list(bad.found) == [f"{path}, line 5"]


def test_in_memory_images_are_not_looked_at() -> None:
    view = MedicalImage(pixels=np.zeros((8, 8), dtype=np.uint8))
    sample = VQASample(id="q", benchmark="b", split="train", question="?", answers=("a",), images=(view,), group_id="g")
    assert ImageCheck(BadData("them", 0.0, total=1)).unreadable([sample]) == set()


def test_an_evaluation_says_of_how_many_questions_its_numbers_are(
    ward: Path, schooled: VLMPolicy, tmp_path: Path
) -> None:
    damage(ward.parent / "test-3.png")
    schooled.save_pretrained(tmp_path / "policy")
    command = [
        "experiment=evaluate",
        f"benchmarks=[{ward}]",
        f"policy.path={tmp_path / 'policy'}",
        "env={tools: [zoom], view_size: 32, max_turns: 2, prompt: names}",
        "max_new_tokens=4",
        "evaluation={resamples: 20, arms: [majority], modes: [greedy], leakage: false}",
        "trainer={accelerator: cpu, threads: 1}",
        f"output_dir={tmp_path / 'run'}",
        f"cache_dir={tmp_path / 'cache'}",
    ]
    assert main(command) == 2
    assert main([*command, "data.max_bad_fraction=0.1"]) == 0
    results = read_results(tmp_path / "run" / "results.json")
    assert results.arms["majority"]["ward"]["greedy"].n == 19
    assert any("1 of 20 were left out" in line and "test-3" in line for line in results.warnings)
    assert "question test-3" in (tmp_path / "run" / "report.html").read_text()
    assert json.loads((tmp_path / "run" / "results.json").read_text())["notices"]
