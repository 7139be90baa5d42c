"""Before a run begins it says how many updates would be lost, and refuses optimisers that cannot train."""

from __future__ import annotations

import copy
from collections.abc import Iterator

import pytest
import torch

from medvista.app.config.command_line import load_config
from medvista.app.training.optimiser_checks import check_optimisers
from medvista.errors import UserError
from medvista.notices import NOTICES
from medvista.policies import VLMPolicy
from medvista.policies.adapters import add_adapters
from medvista.settings import LoRAConfig

SMALL_RATES = ["arms=[sft_rl]", "rl.optimiser.learning_rate=1e-6"]


@pytest.fixture(autouse=True)
def no_notices() -> Iterator[None]:
    NOTICES.clear()
    yield
    NOTICES.clear()


def test_weights_in_16_bits_at_a_small_rate_are_told_with_their_share(schooled: VLMPolicy) -> None:
    config = load_config(SMALL_RATES)
    check_optimisers(config, schooled)
    assert not NOTICES.collected()
    check_optimisers(config, copy.deepcopy(schooled).to(torch.bfloat16))
    places = [place for said in NOTICES.collected() for place in said.examples if "1e-06" in place]
    assert len(places) == 1
    share = float(places[0].split("leaves ")[1].split("%")[0])
    assert 90 < share <= 100


def test_adapters_in_float32_on_weights_in_16_bits_lose_nothing(schooled: VLMPolicy) -> None:
    pytest.importorskip("peft")
    policy = copy.deepcopy(schooled).to(torch.bfloat16)
    policy.model = add_adapters(policy.model, LoRAConfig(rank=2))
    check_optimisers(load_config(SMALL_RATES), policy)
    assert not NOTICES.collected()


def test_adapters_of_a_part_without_a_learning_rate_are_told(schooled: VLMPolicy) -> None:
    pytest.importorskip("peft")
    policy = copy.deepcopy(schooled)
    policy.model = add_adapters(policy.model, LoRAConfig(rank=2, targets=["language", "vision"]))
    check_optimisers(load_config(SMALL_RATES), policy)
    (said,) = NOTICES.collected()
    assert said.what.startswith("adapters stay as they begin")
    assert said.examples == ("rl",)  # SFT has a rate for the vision tower


@pytest.mark.parametrize(
    ("override", "sentence"),
    [
        ("sft.optimiser.learning_rates={embed_token: 1e-5}", "'embed_token' names no weight of this model"),
        ("rl.optimiser.learning_rate=0", "rl.optimiser would train nothing"),
    ],
)
def test_what_cannot_train_is_refused(schooled: VLMPolicy, override: str, sentence: str) -> None:
    with pytest.raises(UserError, match=sentence):
        check_optimisers(load_config([*SMALL_RATES, override]), schooled)
    check_optimisers(load_config(["arms=[direct]", *SMALL_RATES[1:], override]), schooled)  # nobody uses it
