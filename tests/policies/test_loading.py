"""Weights are kept in what the configuration says, whatever the checkpoint stores; what is lost in 16 bits is told."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import lightning
import pytest
import torch
from torch.utils.data import DataLoader

from medvista.callbacks import ReferenceKL
from medvista.datamodules import RolloutDataModule
from medvista.errors import UserError
from medvista.modules import GRPOConfig, GRPOModule, OptimiserConfig, SFTModule
from medvista.notices import NOTICES
from medvista.policies import Loading, VLMPolicy
from medvista.rollout import RolloutCollector, TokenBatch
from medvista.types import Trajectory, VQASample

SMALL_STEPS = OptimiserConfig(learning_rate=1e-6, vision_learning_rate=1e-6, warmup_steps=0)


@pytest.fixture(scope="module")
def in_16_bits(schooled: VLMPolicy, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint that stores bfloat16, as nearly all on the hub do."""
    folder = tmp_path_factory.mktemp("checkpoint")
    copy.deepcopy(schooled).to(torch.bfloat16).save_pretrained(folder)
    return folder


@pytest.fixture(autouse=True)
def no_notices() -> Iterator[None]:
    NOTICES.clear()
    yield
    NOTICES.clear()


def types(policy: VLMPolicy) -> set[torch.dtype]:
    return {parameter.dtype for parameter in policy.parameters()}


def test_weights_are_float32_unless_something_else_is_asked_for(in_16_bits: Path) -> None:
    assert types(VLMPolicy.from_pretrained(in_16_bits)) == {torch.float32}
    assert types(VLMPolicy.from_pretrained(in_16_bits, Loading(dtype="auto"))) == {torch.bfloat16}
    assert types(VLMPolicy.from_pretrained(in_16_bits, Loading(dtype="bfloat16"))) == {torch.bfloat16}


def test_a_cast_leaves_the_frequencies_of_rotary_positions_as_they_are(schooled: VLMPolicy) -> None:
    policy = copy.deepcopy(schooled)
    before = {name: buffer.clone() for name, buffer in policy.named_buffers()}
    policy.to(torch.bfloat16)
    assert types(policy) == {torch.bfloat16}
    frequencies = {name: buffer for name, buffer in policy.named_buffers() if "inv_freq" in name}
    assert len(frequencies) >= 2
    assert all(torch.equal(buffer, before[name]) for name, buffer in frequencies.items())
    rounded = before["model.model.language_model.rotary_emb.inv_freq"].bfloat16().float()
    assert not torch.equal(rounded, before["model.model.language_model.rotary_emb.inv_freq"])  # else nothing is shown


def moved_share(policy: VLMPolicy, batch: TokenBatch, make_trainer: Callable[..., Any], precision: str) -> float:
    """How many of the weights 100 steps of AdamW at 1e-6 change."""
    before = [parameter.detach().clone() for parameter in policy.parameters()]
    module = SFTModule(policy, SMALL_STEPS, total_steps=100)
    loader: DataLoader[TokenBatch] = DataLoader([batch] * 100, batch_size=None)  # type: ignore[arg-type]
    make_trainer(max_steps=100, precision=precision).fit(module, train_dataloaders=loader)
    changed = sum(int((a != b.float()).sum()) for a, b in zip(policy.parameters(), before, strict=True))
    return changed / sum(value.numel() for value in before)


def test_a_checkpoint_in_16_bits_trains_in_float32_and_in_16_bits_hardly_at_all_and_says_so(
    in_16_bits: Path, demonstrations: list[Trajectory], make_trainer: Callable[..., Any]
) -> None:
    batch = TokenBatch.from_streams([episode.stream for episode in demonstrations[:2]])
    masters = VLMPolicy.from_pretrained(in_16_bits)
    assert moved_share(masters, batch, make_trainer, "32-true") > 0.9
    assert not NOTICES.collected()
    short = VLMPolicy.from_pretrained(in_16_bits, Loading(dtype="auto"))
    assert moved_share(short, batch, make_trainer, "32-true") < 0.1
    (said,) = NOTICES.collected()
    assert "lose updates" in said.what
    assert all("an update of 1e-06 leaves 9" in place for place in said.examples), said.examples


class Gradients(lightning.Callback):
    """The engine's gap to the trainer, and whether the reference was scored, at every update."""

    def __init__(self) -> None:
        self.gaps: list[float] = []

    def on_train_batch_end(self, trainer: Any, pl_module: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
        assert batch.reference_log_probs.isfinite().all()
        assert batch.rewards.dtype == batch.old_log_probs.dtype == torch.float32
        self.gaps.append(trainer.callback_metrics["train/engine_gap"].item())


@pytest.mark.parametrize(
    ("precision", "kept"), [("bf16-mixed", torch.float32), ("bf16-true", torch.bfloat16), ("32-true", torch.float32)]
)
def test_rl_plays_scores_and_learns_in_every_precision(
    schooled: VLMPolicy,
    questions: list[VQASample],
    always_uneven: Callable[[VLMPolicy], RolloutCollector],
    make_trainer: Callable[..., lightning.Trainer],
    precision: str,
    kept: torch.dtype,
) -> None:
    policy = copy.deepcopy(schooled)
    module = GRPOModule(policy, GRPOConfig(), OptimiserConfig(learning_rate=1e-2, warmup_steps=0), total_steps=2)
    held_out = {"phantom": [questions[0]]}
    data = RolloutDataModule(questions, always_uneven, {}, prompts=2, group_size=2, updates=2, max_new_tokens=12)
    data.validation = held_out
    trainer = make_trainer(
        max_steps=2, precision=precision, limit_val_batches=1, callbacks=[ReferenceKL(), seen := Gradients()]
    )
    trainer.fit(module, datamodule=data)
    assert types(policy) == {kept}
    assert len(seen.gaps) == 2
    # bfloat16 has 8 bits: log-probabilities of the engine and of the trainer agree to some hundredths.
    assert max(seen.gaps) < (1e-4 if precision == "32-true" else 0.3)
    assert not torch.equal(
        policy.model.get_input_embeddings().weight.float(), schooled.model.get_input_embeddings().weight
    )


def test_what_a_pattern_names_is_not_trained(in_16_bits: Path) -> None:
    policy = VLMPolicy.from_pretrained(in_16_bits, Loading(freeze=("visual", "layers.0")))
    frozen = {name for name, parameter in policy.model.named_parameters() if not parameter.requires_grad}
    assert frozen == {n for n, _ in policy.model.named_parameters() if ".visual." in n or ".layers.0." in n}


@pytest.mark.parametrize(
    ("freeze", "sentence"),
    [
        (("vizual",), r"policy.freeze: 'vizual' names no weight of this model; near it are visual"),
        (("layer.0",), r"'layer.0' names no weight of this model; near it are layers.*"),
        (("model",), r"policy.freeze=\['model'\] leaves nothing to train"),
    ],
)
def test_a_pattern_that_names_nothing_or_all_is_refused(
    in_16_bits: Path, freeze: tuple[str, ...], sentence: str
) -> None:
    with pytest.raises(UserError, match=sentence):
        VLMPolicy.from_pretrained(in_16_bits, Loading(freeze=freeze))


def test_quantised_weights_alone_cannot_be_trained(in_16_bits: Path) -> None:
    pytest.importorskip("bitsandbytes")
    with pytest.raises(UserError, match=r"policy.quantise=4bit leaves nothing to train"):
        VLMPolicy.from_pretrained(in_16_bits, Loading(quantise="4bit"))


def test_quantisation_without_its_package_is_told_in_one_sentence(
    in_16_bits: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name, package=None: None)
    with pytest.raises(UserError, match=r"policy.quantise=4bit needs the package bitsandbytes"):
        VLMPolicy.from_pretrained(in_16_bits, Loading(quantise="4bit"))
