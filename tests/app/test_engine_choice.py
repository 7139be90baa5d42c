"""The choice of what generates episodes, and what follows from it."""

from __future__ import annotations

import importlib.util

import pytest

from medvista.app.config.composition import compose
from medvista.app.config.schema import ExperimentConfig
from medvista.app.start_checks import check_engine
from medvista.app.training.objectives import objective_of
from medvista.errors import UserError
from medvista.rl_settings import CorrectionConfig


def config(*overrides: str) -> ExperimentConfig:
    return compose(ExperimentConfig, ["experiment=smoke", *overrides])


@pytest.mark.skipif(importlib.util.find_spec("vllm") is not None, reason="vLLM is installed here")
def test_where_vllm_is_missing_one_sentence_says_so_before_anything_is_spent() -> None:
    with pytest.raises(UserError, match=r"^policy\.engine=vllm needs the package vllm, .* pip install vllm"):
        check_engine(config("policy.engine=vllm"))
    check_engine(config())


def test_quantised_weights_are_not_for_vllm() -> None:
    with pytest.raises(UserError, match=r"policy\.quantise=4bit keeps none: leave one of them out"):
        check_engine(config("policy.engine=vllm", "policy.quantise=4bit"))


@pytest.mark.parametrize(
    ("overrides", "old", "level"),
    [
        ((), "engine", "none"),
        (("policy.engine=vllm",), "recomputed", "token"),
        (("policy.engine=vllm", "rl.correction.level=none"), "recomputed", "none"),
        (("policy.engine=vllm", "rl.correction.level=sequence"), "recomputed", "sequence"),
        (("rl.correction.old_log_probs=recomputed",), "recomputed", "none"),
    ],
)
def test_importance_weights_correct_for_an_engine_that_computes_otherwise(
    overrides: tuple[str, ...], old: str, level: str
) -> None:
    found = objective_of(config(*overrides)).correction
    assert found == CorrectionConfig(old_log_probs=old, level=level)  # type: ignore[arg-type]
