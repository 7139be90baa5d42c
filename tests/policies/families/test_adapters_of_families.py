"""Adapters in models of several families: trained alone, kept and merged without a change, and never in the eyes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import lightning
import pytest
import torch
from torch import Tensor
from torch.utils.data import DataLoader

from medvista.policies import Loading, VLMPolicy, merge_adapters
from medvista.policies.adapters import adapters_off, target_layers
from medvista.rollout import TokenBatch
from medvista.settings import LoRAConfig
from medvista.types import Reward, Trajectory, VQASample
from tests.policies.families.test_engine_and_trainer import ROWS, play
from tests.policies.families.test_training_steps import reinforced, supervised
from tests.policies.families.tiny_families import PARAMS, build

pytest.importorskip("peft")
LORA = LoRAConfig(rank=2)
# What each class calls its eyes and what leads from them to the language model.
EYES = ("visual", "vision_tower", "vision_model", "multi_modal_projector", "connector", "image_newline")
ADAPTED = [
    pytest.param(name, marks=[pytest.mark.slow] * (name == "qwen3_vl"))
    for name in ("llava", "gemma3", "internvl", "qwen3_vl")
]


@pytest.fixture(scope="module", params=ADAPTED)
def base(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp(request.param)
    build(request.param).save_pretrained(folder)
    return folder


@pytest.fixture
def policy(base: Path) -> VLMPolicy:
    """With adapters that change what it says, as trained ones do."""
    policy = VLMPolicy.from_pretrained(base, Loading(lora=LORA)).eval()
    torch.manual_seed(1)
    for name, parameter in policy.named_parameters():
        if ".lora_B." in name:
            torch.nn.init.normal_(parameter, std=0.3)
    return policy


@pytest.fixture
def siblings(policy: VLMPolicy, questions: list[VQASample]) -> list[Trajectory]:
    """Three turns of two episodes, played with the adapters."""
    played = play(policy, ROWS[:2], questions[0])
    return [replace(t, reward=Reward(total=float(i), terms={})) for i, t in enumerate(played)]


@torch.no_grad()
def scores(policy: VLMPolicy, siblings: list[Trajectory]) -> Tensor:
    return TokenBatch.from_streams([t.stream for t in siblings]).log_probs(policy)[0]


def test_engine_and_trainer_agree_with_adapters(policy: VLMPolicy, siblings: list[Trajectory]) -> None:
    found = scores(policy, siblings)
    with adapters_off(policy.model):
        assert (scores(policy, siblings) - found).abs().max() > 0.01  # or the agreement would mean nothing
    for row, episode in enumerate(siblings):
        recorded = torch.tensor(episode.stream.log_probs)
        torch.testing.assert_close(found[row, : len(recorded)], recorded, atol=1e-4, rtol=0)


@pytest.mark.parametrize("make", [supervised, reinforced])
def test_a_step_moves_every_adapter_and_not_a_bit_of_the_rest(
    make: Callable[..., tuple[lightning.LightningModule, TokenBatch]],
    policy: VLMPolicy,
    siblings: list[Trajectory],
    make_trainer: Callable[..., lightning.Trainer],
) -> None:
    before = {name: parameter.detach().clone() for name, parameter in policy.named_parameters()}
    module, batch = make(policy, siblings)
    make_trainer(max_steps=1).fit(module, train_dataloaders=DataLoader([batch], batch_size=None))  # type: ignore[arg-type]
    moved = {name for name, parameter in policy.named_parameters() if not torch.equal(parameter, before[name])}
    assert moved == {name for name in before if ".lora_" in name}
    assert all(torch.isfinite(parameter).all() for parameter in policy.parameters())


def test_saved_and_loaded_by_their_folder_they_say_the_same(
    policy: VLMPolicy, siblings: list[Trajectory], tmp_path: Path
) -> None:
    policy.save_pretrained(tmp_path)
    assert not list(tmp_path.glob("model*.safetensors"))
    again = VLMPolicy.from_pretrained(tmp_path, Loading(trains=False)).eval()
    assert torch.equal(scores(again, siblings), scores(policy, siblings))


def test_merged_they_are_an_ordinary_model_that_says_the_same(
    policy: VLMPolicy, siblings: list[Trajectory], tmp_path: Path
) -> None:
    expected = scores(policy, siblings)
    merge_adapters(policy.model)
    policy.save_pretrained(tmp_path)
    assert not (tmp_path / "adapter_config.json").exists()
    merged = VLMPolicy.from_pretrained(tmp_path).eval()
    assert not any("lora" in name for name, _ in merged.named_parameters())
    torch.testing.assert_close(scores(merged, siblings), expected, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("name", PARAMS)
def test_unless_asked_for_no_layer_of_the_eyes_gets_one(name: str) -> None:
    policy = build(name)
    language, vision = (target_layers(policy.model, [part], []) for part in ("language", "vision"))
    assert language
    assert all(set(layer.split(".")) & {"language_model", "text_model"} for layer in language)
    assert not any(set(layer.split(".")) & set(EYES) for layer in language)
    assert vision
    assert all(set(layer.split(".")) & set(EYES) for layer in vision)
    of_tower = {id(layer) for layer in policy.vision_tower.modules()}
    assert not any(id(policy.model.get_submodule(layer)) in of_tower for layer in language)
    assert any(id(policy.model.get_submodule(layer)) in of_tower for layer in vision)
