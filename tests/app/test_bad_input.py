"""Every mistake in what a run is given: one sentence on stderr, exit code 2, and an earlier run left where it was."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from medvista.app.commands.run import main

Told = Callable[..., str]


@pytest.fixture
def told(tiny: list[str], tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> Told:
    """Gives overrides to a run whose folder holds an earlier one; returns what the person is told."""

    def run(*overrides: str) -> str:
        folder = tmp_path / "run"
        folder.mkdir()
        (folder / "config.yaml").write_text("experiment: nano\noutput_dir: run\n")
        (folder / "results.json").write_text("{}")
        assert main([*tiny, f"output_dir={folder}", *overrides]) == 2
        assert [path.name for path in tmp_path.rglob("results.json*")] == ["results.json"]
        assert (folder / "results.json").exists(), "the earlier run was moved"
        said = capfd.readouterr().err.strip().splitlines()  # perhaps the plan first, then the mistake
        assert [line for line in said if line.startswith("error: ")] == [said[-1]], said
        assert not any("Traceback" in line for line in said)
        return said[-1]

    return run


@pytest.mark.parametrize(
    ("override", "sentence"),
    [
        ("arms=[sft,sft_rll]", "arms has no 'sft_rll': did you mean 'sft_rl'?"),
        ("arms=[]", "there is nothing to compare"),
        ("evaluation.modes=[greed]", "evaluation.modes has no 'greed'"),
        ("data.families=[attribute,colour]", "data.families has no 'colour'"),
        ("data.train_images=0", "`data.train_images` on the command line must be above 0, not 0"),
        ("env.tools=[zom]", "There is no tool named 'zom'; did you mean 'zoom'?"),
        ("rl.reward={acuracy: 1.0}", "There is no reward term named 'acuracy'; did you mean 'accuracy'?"),
        ("rl.reward={no_module.term: 1.0}", "The reward term 'no_module.term' cannot be imported: ModuleNotFoundError"),
        (
            "rl.reward_options={format: {limit: 3}}",
            "rl.reward_options.format: there is no option 'limit' (it has none)",
        ),
        ("rl.objective=pppo", "`rl.objective` on the command line must be one of 'grpo', 'dr_grpo', 'dapo'"),
        (
            "rl.grpo.surrogate=clipped",
            "`rl.grpo.surrogate` on the command line: did you mean `rl.objective`?",
        ),
        ("rl.grpo.kl_coefficient=0.1", "did you mean `rl.kl.coefficient`?"),
        ("rl.grpo.kl_estimator=k2", "did you mean `rl.kl.estimator`?"),
        ("rl.kl.estimator=k1", "rl.kl.estimator=k1 has an expected gradient of zero in the loss"),
        ("rl.group_size=1", "rl.group_size=1 leaves an episode nothing to be compared with under rl.objective=grpo"),
        ("rl.grpo.minibatches=0", "`rl.grpo.minibatches` on the command line must be above 0, not 0"),
        ("rl.temperature=0", "`rl.temperature` on the command line must be above 0, not 0"),
        ("rl.correction.level=token", "add rl.correction.old_log_probs=recomputed"),
        (
            "rl.filter_on=acuracy",
            "rl.filter_on=acuracy is no term of rl.reward: use one of total, none, accuracy",
        ),
        ("trainer.accelerator=abacus", "Lightning refuses trainer.accelerator, devices, strategy or precision"),
        ("sft.path=nowhere.jsonl", "sft.path=nowhere.jsonl: there is no such file"),
    ],
)
def test_a_wrong_name_is_told_in_one_sentence(told: Told, override: str, sentence: str) -> None:
    assert sentence in told(override)


def test_a_missing_data_root_is_named(told: Told, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MEDVISTA_DATA", raising=False)
    answer = told("data.benchmark=slake", f"data.root={tmp_path / 'none'}")
    assert str(tmp_path / "none") in answer
    assert "MEDVISTA_DATA" in answer


def test_an_unknown_benchmark_is_told_the_nearest(told: Told) -> None:
    answer = told("data.benchmark=slak", "data.root=.")
    assert "there is no benchmark 'slak': did you mean 'slake'?" in answer


def test_a_policy_that_cannot_be_loaded_is_named(told: Told, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    assert f"cannot load a vision-language model from '{tmp_path / 'empty'}'" in told(
        f"policy.path={tmp_path / 'empty'}"
    )


@pytest.fixture
def own(finished: Path, tmp_path: Path) -> Path:
    """A copy of a run's demonstrations, images beside them, as a person would hand them in."""
    folder = tmp_path / "own"
    shutil.copytree(finished / "demonstrations", folder)
    return folder / "sft.jsonl"


def test_a_malformed_demonstration_is_told_by_file_and_line(told: Told, own: Path) -> None:
    lines = own.read_text().splitlines(keepends=True)
    own.write_text("".join([*lines[:2], '{"sample": {"id": 3}}\n', *lines[2:]]))
    assert f"{own}, line 3: " in told(f"sft.path={own}")


def test_a_corrupt_image_of_a_demonstration_is_named(told: Told, own: Path) -> None:
    image = next((own.parent / "images").glob("*.png"))
    image.write_bytes(image.read_bytes()[:40])
    answer = told(f"sft.path={own}")
    assert image.name in answer
    assert "is not a readable image" in answer


def test_a_demonstration_with_a_token_that_may_never_be_sampled_is_refused_with_its_text(told: Told, own: Path) -> None:
    first, *rest = own.read_text().splitlines(keepends=True)
    episode = json.loads(first)
    episode["turns"][-1]["text"] = "<think>It is <|image_pad|> here.</think><answer>yes</answer>"
    own.write_text("".join([json.dumps(episode) + "\n", *rest]))
    answer = told(f"sft.path={own}")
    assert f"question {episode['sample']['id']}, has '<|image_pad|>' in turn {len(episode['turns'])}" in answer
    assert str(own) in answer


def test_a_demonstration_of_a_test_question_is_refused(told: Told, own: Path) -> None:
    changed = own.read_text().replace('"split":"train"', '"split":"test"', 1)
    own.write_text(re.sub(r',"crc32":"?\w+"?', "", changed))  # as a person does who changes a line
    assert "is of a test split, and nothing may be learned on test" in told(f"sft.path={own}")


def test_ones_own_demonstrations_are_learned_from(own: Path, tiny: list[str], tmp_path: Path) -> None:
    run = tmp_path / "run"
    assert main([*tiny, f"output_dir={run}", f"sft.path={own}", "arms=[sft]", "sft.steps=2"]) == 0
    assert (run / "results.json").exists()
    assert not (run / "demonstrations").exists()
