"""Checkpoints hold what is trained and no more, and a run goes on from one to the last bit."""

from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.utils.data import DataLoader

from medvista.app.training.checkpoint_io import CheckedCheckpointIO
from medvista.errors import UserError
from medvista.modules import OptimiserConfig, SFTModule
from medvista.policies import Loading, VLMPolicy
from medvista.rollout import TokenBatch
from medvista.settings import LoRAConfig
from medvista.types import Trajectory

RATES = OptimiserConfig(learning_rate=1e-2, vision_learning_rate=0.0)
STEPS = 4


@pytest.fixture(scope="module")
def base(schooled: VLMPolicy, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("base")
    schooled.save_pretrained(folder)
    return folder


@pytest.fixture
def train(
    demonstrations: list[Trajectory], make_trainer: Callable[..., Any], tmp_path: Path
) -> Callable[..., tuple[SFTModule, Path]]:
    """Trains a policy for so many steps, from a checkpoint if there is one; the module and its checkpoint."""
    batches = [TokenBatch.from_streams([t.stream for t in demonstrations[:2]])] * STEPS

    def until(policy: VLMPolicy, steps: int, last: Path | None = None) -> tuple[SFTModule, Path]:
        module = SFTModule(policy, RATES, total_steps=STEPS)
        trainer = make_trainer(max_steps=steps, plugins=[CheckedCheckpointIO()])
        loader: DataLoader[TokenBatch] = DataLoader(batches, batch_size=None)  # type: ignore[arg-type]
        trainer.fit(module, train_dataloaders=loader, ckpt_path=last, weights_only=True)
        assert trainer.global_step == steps
        trainer.save_checkpoint(path := tmp_path / f"{steps}.ckpt")
        return module, path

    return until


def test_with_adapters_a_checkpoint_is_as_small_as_they_are(base: Path, train: Callable[..., Any]) -> None:
    pytest.importorskip("peft")
    module, path = train(VLMPolicy.from_pretrained(base, Loading(lora=LoRAConfig(rank=2))), 2)
    saved = torch.load(path, weights_only=True)
    adapters = {f"policy.{name}": p for name, p in module.policy.named_parameters() if ".lora_" in name}
    assert saved["state_dict"].keys() == adapters.keys()
    bytes_of_adapters = sum(p.numel() * 4 for p in adapters.values())
    bytes_of_model = (base / "model.safetensors").stat().st_size
    tensors = [
        *saved["state_dict"].values(),
        *(t for s in saved["optimizer_states"][0]["state"].values() for t in s.values()),
    ]
    held = sum(tensor.numel() * tensor.element_size() for tensor in tensors)
    assert 3 * bytes_of_adapters <= held <= 3.1 * bytes_of_adapters  # they, and two moments of each
    assert bytes_of_adapters < 0.1 * bytes_of_model  # or nothing was saved


@pytest.mark.parametrize("lora", [None, LoRAConfig(rank=2)], ids=["all weights but the eyes", "adapters"])
def test_a_run_goes_on_to_the_last_bit(base: Path, train: Callable[..., Any], lora: LoRAConfig | None) -> None:
    if lora is not None:
        pytest.importorskip("peft")
    load = Loading(lora=lora)
    undisturbed, _ = train(VLMPolicy.from_pretrained(base, load), STEPS)
    halfway, path = train(VLMPolicy.from_pretrained(base, load), STEPS // 2)
    middle = copy.deepcopy(halfway.policy.state_dict())
    resumed, _ = train(VLMPolicy.from_pretrained(base, load), STEPS, path)
    expected, found = undisturbed.policy.state_dict(), resumed.policy.state_dict()
    assert expected.keys() == found.keys()
    assert all(torch.equal(found[name], weights) for name, weights in expected.items())
    assert any(not torch.equal(middle[name], weights) for name, weights in expected.items())


def test_all_that_is_trained_is_in_a_checkpoint_under_each_of_its_names(base: Path, train: Callable[..., Any]) -> None:
    module, path = train(VLMPolicy.from_pretrained(base), 1)
    saved = torch.load(path, weights_only=True)["state_dict"]
    names = {f"policy.{name}" for name in module.policy.state_dict() if ".visual." not in name}
    assert {"policy.model.lm_head.weight", "policy.model.model.language_model.embed_tokens.weight"} <= names
    assert saved.keys() == names


def test_frozen_weights_that_have_changed_meanwhile_are_refused_by_name(base: Path, train: Callable[..., Any]) -> None:
    _, path = train(VLMPolicy.from_pretrained(base), 1)
    other = VLMPolicy.from_pretrained(base)
    with torch.no_grad():
        next(other.vision_tower.parameters()).add_(0.01)
    with pytest.raises(UserError, match=r"^1 weights that are not trained have changed .*visual.*resume=stages"):
        train(other, 2, path)


def test_a_trained_weight_that_is_missing_is_no_checkpoint_of_this_model(base: Path, train: Callable[..., Any]) -> None:
    module, path = train(VLMPolicy.from_pretrained(base), 1)
    state = torch.load(path, weights_only=True)["state_dict"]
    module.load_state_dict(state)
    del state["policy.model.model.language_model.norm.weight"]
    with pytest.raises(RuntimeError, match=r"Missing key.*language_model\.norm\.weight"):
        module.load_state_dict(state)
