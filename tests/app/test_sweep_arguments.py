"""``--sweep`` on the command line: which values are several, what the variants are called, what is refused."""

from __future__ import annotations

import pytest

from medvista.app.commands.run import main
from medvista.app.config.command_line import load_config
from medvista.app.config.schema import ExperimentConfig
from medvista.app.config.sweep_arguments import sweep_arguments
from medvista.errors import UserError


def swept(*given: str) -> ExperimentConfig:
    config = load_config(sweep_arguments(given))
    assert config.sweep is not None
    return config


def test_every_combination_of_the_values_is_a_variant() -> None:
    config = swept("rl.objective=grpo,gspo", "rl.kl.coefficient=0,0.01", "seed=0,1,2", "rl.updates=8")
    assert config.sweep is not None
    assert config.sweep.seeds == [0, 1, 2]
    assert config.sweep.variants == {
        "grpo_coefficient=0": ["rl.objective=grpo", "rl.kl.coefficient=0"],
        "grpo_coefficient=0.01": ["rl.objective=grpo", "rl.kl.coefficient=0.01"],
        "gspo_coefficient=0": ["rl.objective=gspo", "rl.kl.coefficient=0"],
        "gspo_coefficient=0.01": ["rl.objective=gspo", "rl.kl.coefficient=0.01"],
    }
    assert config.overrides[-1] == "rl.updates=8", "one value holds for all"


def test_a_sweep_has_a_folder_of_its_own_unless_one_is_given() -> None:
    assert swept("sft.steps=1,2", "experiment=smoke").output_dir.as_posix() == "runs/smoke_sweep"
    assert swept("sft.steps=1,2", "output_dir=runs/mine").output_dir.as_posix() == "runs/mine"


def test_a_list_is_one_value_and_lists_may_be_swept() -> None:
    config = swept("data.train_images=8,9", "arms=[sft,sft_rl]", "evaluation.modes=[greedy,sampled]")
    assert config.arms == ["sft", "sft_rl"]
    config = swept("rl.reward={accuracy: 1.0},{accuracy: 1.0, format: 0.1}")
    assert config.sweep is not None
    assert list(config.sweep.variants) == ["accuracy-1.0", "accuracy-1.0-format-0.1"]


def test_values_that_look_alike_as_names_are_told_apart() -> None:
    config = swept("sft.path=a/b,a-b")
    assert config.sweep is not None
    assert list(config.sweep.variants) == ["a-b", "a-b-2"]


def test_seeds_alone_compare_the_arms_of_one_experiment() -> None:
    config = swept("seed=0,1", "experiment=smoke")
    assert config.sweep is not None
    assert config.sweep.variants == {"smoke": []}
    assert config.sweep.compare == "arms"


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (["seed=1"], "several values between commas"),
        (["arms=sft,sft_rl"], r"in brackets, as in arms=\[sft,sft_rl\]"),
        (["experiment=nano,smoke"], "experiment is one for all runs"),
        (["seed=a,b"], "whole numbers"),
        (["sweep.workers=1,2"], r"sweep\.workers is one for all runs"),
    ],
)
def test_what_cannot_be_swept_is_refused_in_a_sentence(given: list[str], said: str) -> None:
    with pytest.raises(UserError, match=said):
        sweep_arguments(given)


def test_the_flag_makes_the_sweep_and_prints_it(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--sweep", "sft.steps=1,2", "--print-config"]) == 0
    assert "steps=2:" in capsys.readouterr().out
    assert main(["--sweep", "seed=1"]) == 2
    assert "--sweep needs a key with several values" in capsys.readouterr().err
