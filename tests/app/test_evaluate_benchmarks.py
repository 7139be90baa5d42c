"""`task=evaluate` on other questions than phantoms and with another policy than one in this process."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from medvista.app.commands.run import main
from medvista.app.config.schema import DataConfig
from medvista.app.splits import Splits
from medvista.data.registry import SPLITS
from medvista.data.trajectories import read_trajectories
from medvista.evaluation.numbers.results_file import read_results
from medvista.policies import VLMPolicy
from tests.chat_server import Answer, Asked, chat_server, saying

SMALL = [
    "experiment=evaluate",
    "env={tools: [zoom], view_size: 32, max_turns: 3, prompt: names}",
    "max_new_tokens=16",
    "evaluation={resamples: 50, batch_size: 4}",
    "trainer={accelerator: cpu, threads: 1}",
]


@pytest.fixture(scope="module")
def policy(schooled: VLMPolicy, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("policies") / "trained"
    schooled.save_pretrained(folder)
    return folder


@pytest.fixture
def ward(tmp_path: Path) -> Path:
    """A question set of one's own: six pictures, five of them distinct, one of them in train as well as in test."""
    rng = np.random.default_rng(0)
    for name in ("a", "b", "c", "d", "e"):
        smooth = np.asarray(Image.fromarray(rng.integers(0, 255, (6, 6), dtype=np.uint8)).resize((64, 64)))
        Image.fromarray(smooth).save(tmp_path / f"{name}.png")
    (tmp_path / "a.png").rename(tmp_path / "first.png")
    (tmp_path / "copy.png").write_bytes((tmp_path / "first.png").read_bytes())
    rows = [
        ("Is it dark?", "yes", "first.png", "train", "1"),
        ("Is it dark?", "no", "b.png", "train", "2"),
        ("Is it dark?", "yes", "c.png", "train", "3"),
        ("Is it dark?", "yes", "copy.png", "test", "4"),
        ("What is it?", "noise", "d.png", "test", "5"),
        ("Is it dark?", "no", "e.png", "test", "6"),
    ]
    lines = ["question,answer,file,split,patient", *(",".join(row) for row in rows)]
    (tmp_path / "questions.csv").write_text("\n".join(lines) + "\n")
    columns = "{question: question, answer: answer, image: file, split: split, group: patient}"
    own = tmp_path / "ward.yaml"
    own.write_text(f"name: ward\nquestions: questions.csv\nimages: .\ncolumns: {columns}\n")
    return own


def test_a_set_of_ones_own_is_evaluated_and_its_leak_is_told(
    ward: Path, policy: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = [*SMALL, f"policy.path={policy}", f"benchmarks=[{ward}]", f"cache_dir={tmp_path / 'cache'}"]
    assert main([*command, f"output_dir={tmp_path / 'run'}"]) == 0
    results = read_results(tmp_path / "run" / "results.json")
    majority = results.score("majority", "ward", "greedy")
    assert majority is not None
    assert (majority.n, majority.accuracy) == (3, pytest.approx(1 / 3)), "yes, as most of train, is right once"
    (overlap,) = results.leakage["overlaps"]
    assert (overlap["identical_images"], overlap["leaked_questions"], overlap["repeated_questions"]) == (1, 1, 1)
    printed = capsys.readouterr().out
    assert "1 of 3 images were seen in training" in printed
    assert "Did the tool matter?" in printed or not results.counterfactuals

    assert main([*command, f"output_dir={tmp_path / 'clean'}", "evaluation.clean_subset=true"]) == 0
    clean = read_results(tmp_path / "clean" / "results.json")
    assert {score.n for arm in clean.arms.values() for modes in arm.values() for score in modes.values()} == {2}
    assert "ward: asked 2 of 3 questions, the clean subset." in capsys.readouterr().out


def test_questions_dealt_out_anew_share_no_image_and_that_is_told(
    ward: Path, policy: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = [*SMALL, f"policy.path={policy}", f"benchmarks=[{ward}]", f"cache_dir={tmp_path / 'cache'}"]
    again = [*command, "data.resplit=image", "evaluation.arms=[majority,policy]"]
    assert main([*again, f"output_dir={tmp_path / 'run'}"]) == 0
    results = read_results(tmp_path / "run" / "results.json")
    (overlap,) = results.leakage["overlaps"]
    assert (overlap["identical_images"], overlap["similar_images"]) == (0, 0)
    assert overlap["train_images"] + overlap["test_images"] == 6
    said = "ward: all its questions were split again by image (data.seed=0): 4 / 0 / 2 to train / validation / test."
    assert said in capsys.readouterr().out


def test_files_of_ones_own_that_count_rows_alike_keep_their_questions_apart_when_dealt_out_anew(ward: Path) -> None:
    header, *rows = (ward.parent / "questions.csv").read_text().splitlines(keepends=True)
    for split in ("train", "test"):
        own = "".join(row for row in rows if f",{split}," in row)
        (ward.parent / f"{split}.csv").write_text(header + own)
    text = ward.read_text().replace("questions: questions.csv", "questions: {train: train.csv, test: test.csv}")
    ward.write_text(text.replace("split: split, ", ""))
    splits = Splits(DataConfig(resplit="patient"), ward.parent / "prints.json")
    ids = [sample.id for split in SPLITS for sample in splits.read(str(ward), split)]
    assert sorted(ids) == ["test-0", "test-1", "test-2", "train-0", "train-1", "train-2"]


def test_train_questions_that_cannot_be_read_are_told(
    ward: Path, policy: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (ward.parent / "b.png").unlink()  # of train
    command = [*SMALL, f"policy.path={policy}", f"benchmarks=[{ward}]", f"cache_dir={tmp_path / 'cache'}"]
    assert main([*command, "evaluation.arms=[policy]", f"output_dir={tmp_path / 'run'}"]) == 0
    printed = capsys.readouterr().out
    assert "The train questions of ward cannot be read" in printed
    assert "b.png is missing" in printed
    assert "Leakage was not looked for" in printed


def test_without_train_questions_the_fitted_baselines_are_left_out_and_that_is_told(
    ward: Path, policy: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    questions = ward.parent / "questions.csv"
    lines = questions.read_text().splitlines(keepends=True)
    questions.write_text("".join(line for line in lines if ",train," not in line))
    command = [*SMALL, f"policy.path={policy}", f"benchmarks=[{ward}]", f"cache_dir={tmp_path / 'cache'}"]
    assert main([*command, f"output_dir={tmp_path / 'run'}"]) == 0
    assert set(read_results(tmp_path / "run" / "results.json").arms) == {"blanked", "tools_off", "policy"}
    assert "ward has no train questions here: majority and lookup are left out." in capsys.readouterr().out


def test_a_model_behind_an_endpoint_is_evaluated_like_any_and_its_cost_is_told(
    ward: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    look = '<tool_call>{"name": "zoom", "arguments": {"bbox_2d": [0, 0, 500, 500]}}</tool_call>'

    def answer(asked: Asked, number: int) -> Answer:
        """Looks once where it may, and says yes unless what it was shown last is blank."""
        offered = "zoom" in asked.text(0)
        if offered and len(asked.body["messages"]) == 2:
            return saying(look)
        return saying(f"<answer>{'no' if np.ptp(asked.images()[-1]) == 0 else 'yes'}</answer>")

    with chat_server(answer) as (url, server):
        endpoint = f"policy.endpoint={{url: {url}, model: stub, prompt_price: 1.0, completion_price: 1.0}}"
        command = [*SMALL, endpoint, f"benchmarks=[{ward}]", f"output_dir={tmp_path / 'run'}"]
        assert main([*command, f"cache_dir={tmp_path / 'cache'}"]) == 0
        asked = len(server.asked)
        assert main([*command, f"cache_dir={tmp_path / 'cache'}", "resume=true"]) == 0
        assert len(server.asked) == asked, "a finished evaluation asks nothing again"
    results = read_results(tmp_path / "run" / "results.json")
    policy, blanked = (results.score(arm, "ward", "greedy") for arm in ("policy", "blanked"))
    assert policy is not None
    assert blanked is not None
    assert (policy.accuracy, policy.tool_calls_mean, blanked.accuracy) == (
        pytest.approx(1 / 3),
        1.0,
        pytest.approx(1 / 3),
    )
    changed = {found.change: found.overall.answers_changed for found in results.counterfactuals}
    assert changed == {"blank": 1.0, "shuffled": 0.0, "random": 0.0}, "it says no to a blank crop, and yes to any other"
    assert "$" in next(line for line in capsys.readouterr().out.splitlines() if "asked of the endpoint" in line)


@pytest.mark.data
def test_slake_and_vqa_rad_are_evaluated_together_with_masks_slices_and_leaks(
    policy: Path, data_root: Path, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    command = [*SMALL, f"policy.path={policy}", f"data={{root: {data_root}, limit: 8}}", f"cache_dir={tmp_path}"]
    arms = "evaluation.arms=[majority,lookup,policy]"
    assert main([*command, arms, "benchmarks=[slake,vqa_rad]", f"output_dir={run}"]) == 0
    results = read_results(run / "results.json")
    assert set(results.benchmarks()) == {"slake", "vqa_rad"}
    for benchmark in results.benchmarks():
        score = results.score("policy", benchmark, "greedy")
        assert score is not None
        assert score.n == 8
        assert {"organ", "question_type", "answer_type"} <= score.slices.keys()
    overlaps = {(found["train"], found["test"]): found for found in results.leakage["overlaps"]}
    assert overlaps.keys() == {(a, b) for a in ("slake", "vqa_rad") for b in ("slake", "vqa_rad")}
    ids = [t.sample.id for t in read_trajectories(run / "trajectories" / "test" / "slake-policy-greedy.jsonl")]
    assert len(ids) == len(set(ids)) == 8
    assert json.loads((run / "results.json").read_text())["experiment"] == "evaluate"
