"""Learning rates over time and by part of the model, what is frozen, and optimisers by name."""

from __future__ import annotations

import copy

import pytest
import torch

from medvista.errors import UserError
from medvista.modules.optimisation import configure, freeze
from medvista.modules.optimisers import make_optimiser
from medvista.policies import VLMPolicy
from medvista.settings import OptimiserConfig, OptimiserName


def rates(policy: VLMPolicy, config: OptimiserConfig, total_steps: int) -> list[float]:
    configured = configure(copy.deepcopy(policy), config, total_steps)
    optimizer, scheduler = configured["optimizer"], configured["lr_scheduler"]["scheduler"]
    seen = []
    for _ in range(total_steps + 1):
        seen.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step()
    return seen


def test_the_rate_warms_up_in_equal_steps_and_stays(nano: VLMPolicy) -> None:
    config = OptimiserConfig(learning_rate=0.4, warmup_steps=3)
    assert rates(nano, config, 6) == pytest.approx([0.1, 0.2, 0.3, 0.4, 0.4, 0.4, 0.4])


def test_the_rate_falls_along_a_cosine_to_its_share(nano: VLMPolicy) -> None:
    config = OptimiserConfig(learning_rate=1.0, warmup_steps=0, decay_to=0.2)
    assert rates(nano, config, 4) == pytest.approx([1.0, 0.2 + 0.8 * 0.8535534, 0.6, 0.2 + 0.8 * 0.1464466, 0.2])


def test_training_nothing_is_refused_in_a_sentence(nano: VLMPolicy) -> None:
    policy, config = copy.deepcopy(nano), OptimiserConfig(learning_rate=0.0)
    freeze(policy, config)
    with pytest.raises(UserError, match="nothing is trained: every weight is frozen or has a learning rate of 0"):
        configure(policy, config, 1)


def test_without_a_rate_of_its_own_the_vision_tower_is_frozen(nano: VLMPolicy) -> None:
    policy = copy.deepcopy(nano)
    freeze(policy, OptimiserConfig())
    optimizer = configure(policy, OptimiserConfig(), 1)["optimizer"]
    assert not any(parameter.requires_grad for parameter in policy.vision_tower.parameters())
    assert len(optimizer.param_groups) == 1
    trained = {id(parameter) for parameter in optimizer.param_groups[0]["params"]}
    assert trained == {id(parameter) for parameter in policy.parameters() if parameter.requires_grad}


def test_with_one_it_is_trained_beside_the_rest_and_nothing_is_trained_twice(nano: VLMPolicy) -> None:
    policy = copy.deepcopy(nano)
    config = OptimiserConfig(learning_rate=1e-3, vision_learning_rate=1e-4, warmup_steps=0)
    freeze(policy, config)
    optimizer = configure(policy, config, 1)["optimizer"]
    text, vision = optimizer.param_groups
    assert (text["lr"], vision["lr"]) == (1e-3, 1e-4)
    assert {id(p) for p in vision["params"]} == {id(p) for p in policy.vision_tower.parameters()}
    everything = [id(p) for group in optimizer.param_groups for p in group["params"]]
    assert len(everything) == len(set(everything)) == len(list(policy.parameters()))


def test_what_was_frozen_before_stays_so_whatever_its_rate(nano: VLMPolicy) -> None:
    policy = copy.deepcopy(nano)
    policy.vision_tower.requires_grad_(False)
    freeze(policy, OptimiserConfig(vision_learning_rate=1e-4))
    assert not any(parameter.requires_grad for parameter in policy.vision_tower.parameters())


def test_weights_get_the_rate_of_the_first_pattern_that_names_them_and_0_freezes(nano: VLMPolicy) -> None:
    policy = copy.deepcopy(nano)
    config = OptimiserConfig(
        learning_rate=1e-3,
        vision_learning_rate=1e-4,
        learning_rates={"layers.0.mlp": 2e-5, "mlp": 3e-5, "embed_tokens": 0.0, "merger": 4e-5},
        warmup_steps=0,
    )
    freeze(policy, config)
    rate_of = {id(p): g["lr"] for g in configure(policy, config, 1)["optimizer"].param_groups for p in g["params"]}
    rates = {name: rate_of.get(id(parameter)) for name, parameter in policy.named_parameters()}
    language = "model.model.language_model.layers"
    assert rates[f"{language}.0.mlp.up_proj.weight"] == 2e-5
    assert rates[f"{language}.1.mlp.up_proj.weight"] == 3e-5
    assert rates[f"{language}.0.self_attn.q_proj.weight"] == 1e-3
    assert rates["model.model.visual.merger.norm.weight"] == 4e-5
    assert rates["model.model.visual.patch_embed.proj.weight"] == 1e-4
    assert rates["model.model.language_model.embed_tokens.weight"] is None
    assert not policy.model.get_input_embeddings().weight.requires_grad


def test_a_pattern_that_names_nothing_is_refused_with_names_that_are_near(nano: VLMPolicy) -> None:
    with pytest.raises(UserError, match=r"'embed_token' names no weight of this model; near it are embed_tokens"):
        freeze(copy.deepcopy(nano), OptimiserConfig(learning_rates={"embed_token": 1e-5}))


# ---------------------------------------------------------------------------------------------------------- optimisers


@pytest.mark.parametrize("name", ["adamw", "adamw_fused", "adamw_8bit", "paged_adamw_8bit", "adafactor"])
def test_an_optimiser_of_every_name_goes_downhill(name: OptimiserName) -> None:
    if "8bit" in name:
        pytest.importorskip("bitsandbytes")
        if "paged" in name and not torch.cuda.is_available():
            pytest.skip("memory that pages between processors needs a GPU")
    weight = torch.nn.Parameter(torch.full((64, 128), 1.0))
    optimiser = make_optimiser([{"params": [weight], "lr": 0.05}], OptimiserConfig(name=name))
    for _ in range(20):
        loss = (weight**2).mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    assert loss.item() < 0.5


def test_a_fused_step_is_the_same_step() -> None:
    weights = []
    for name in ("adamw", "adamw_fused"):
        torch.manual_seed(0)
        weight = torch.nn.Parameter(torch.randn(8, 8))
        optimiser = make_optimiser([{"params": [weight], "lr": 0.01}], OptimiserConfig(name=name, weight_decay=0.1))  # type: ignore[arg-type]
        for _ in range(3):
            weight.grad = torch.sin(weight.detach())
            optimiser.step()
        weights.append(weight.detach())
    torch.testing.assert_close(*weights, atol=1e-6, rtol=0)


def test_a_missing_package_is_told_in_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(UserError, match=r"adamw_8bit needs the package bitsandbytes: pip install"):
        make_optimiser([], OptimiserConfig(name="adamw_8bit"))
