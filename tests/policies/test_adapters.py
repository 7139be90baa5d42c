"""Adapters are trained alone, count in engine and trainer alike, are kept as PEFT does, and merge to the same model."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.utils.data import DataLoader

from medvista.errors import UserError
from medvista.modules import OptimiserConfig, SFTModule
from medvista.policies import Loading, SamplingParams, VLMPolicy, merge_adapters
from medvista.policies.adapters import adapters_off, add_adapters, merged_state_dict, target_layers
from medvista.rollout import RolloutCollector, TokenBatch
from medvista.settings import LoRAConfig
from medvista.types import Trajectory, VQASample

peft = pytest.importorskip("peft")
LORA = LoRAConfig(rank=4)


@pytest.fixture(scope="module")
def base(schooled: VLMPolicy, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model whose head has weights of its own, so that it may have an adapter, too."""
    policy = copy.deepcopy(schooled)
    policy.model.config.tie_word_embeddings = policy.model.config.text_config.tie_word_embeddings = False
    policy.model.lm_head.weight = torch.nn.Parameter(policy.model.lm_head.weight.detach().clone())
    folder = tmp_path_factory.mktemp("base")
    policy.save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def batch(demonstrations: list[Trajectory]) -> TokenBatch:
    return TokenBatch.from_streams([episode.stream for episode in demonstrations[:4]])


def adapted(base: Path, **lora: Any) -> VLMPolicy:
    """A policy with adapters that change what it says, as trained ones do."""
    policy = VLMPolicy.from_pretrained(base, Loading(lora=LoRAConfig(rank=4, **lora))).eval()
    torch.manual_seed(1)
    for name, parameter in policy.named_parameters():
        if ".lora_B." in name:
            torch.nn.init.normal_(parameter, std=0.3)
    return policy


@torch.no_grad()
def scores(policy: VLMPolicy, batch: TokenBatch) -> torch.Tensor:
    return batch.log_probs(policy)[0]


def test_fresh_adapters_change_nothing_and_are_all_that_is_trained(base: Path, batch: TokenBatch) -> None:
    policy = VLMPolicy.from_pretrained(base, Loading(lora=LORA)).eval()
    trained = [name for name, parameter in policy.named_parameters() if parameter.requires_grad]
    assert trained
    assert all(".lora_" in name and ".language_model." in name for name in trained)
    assert torch.equal(scores(policy, batch), scores(VLMPolicy.from_pretrained(base).eval(), batch))


def test_the_same_seed_gives_the_same_adapters_and_leaves_other_draws_alone(base: Path) -> None:
    torch.manual_seed(3)
    first, after = VLMPolicy.from_pretrained(base, Loading(lora=LORA)), torch.rand(1)
    second = VLMPolicy.from_pretrained(base, Loading(lora=LORA))
    assert all(torch.equal(a, b) for a, b in zip(first.parameters(), second.parameters(), strict=True))
    torch.manual_seed(3)
    assert torch.equal(after, torch.rand(1))


@pytest.mark.parametrize("targets", [["language"], ["language", "vision", "lm_head"]])
def test_engine_and_trainer_agree_with_adapters_in_layers_and_head(
    base: Path,
    targets: list[str],
    questions: list[VQASample],
    make_collector: Callable[..., RolloutCollector],
) -> None:
    policy = adapted(base, targets=targets)
    params = SamplingParams(max_new_tokens=16, temperature=0.8)
    episodes = make_collector(policy).collect(questions[:6], params, seeds=range(6))
    assert any(len(episode.turns) > 1 for episode in episodes)
    played = TokenBatch.from_streams([episode.stream for episode in episodes])
    with torch.no_grad():
        scored, _ = played.log_probs(policy, temperature=0.8)
        with adapters_off(policy.model):
            without, _ = played.log_probs(policy, temperature=0.8)
    for row, episode in enumerate(episodes):
        recorded = torch.tensor(episode.stream.log_probs)
        torch.testing.assert_close(scored[row, : len(recorded)], recorded, atol=1e-4, rtol=0)
    assert (scored - without).abs().max() > 0.1  # the adapters count: the agreement above means something


def test_a_model_that_peft_has_wrapped_keeps_its_positions(base: Path, batch: TokenBatch) -> None:
    plain = VLMPolicy.from_pretrained(base).eval()
    ids, mask = batch.token_ids, batch.attention_mask
    images = plain.family.collate([image for row in batch.images for image in row], ids.device)
    expected, logs = plain.position_ids(ids, mask, images), scores(plain, batch)
    assert expected.dim() == 3  # time, height and width
    config = peft.LoraConfig(r=4, target_modules=["q_proj", "v_proj"])
    wrapped = peft.get_peft_model(plain.model, config)
    policy = VLMPolicy(model=wrapped, tokenizer=plain.tokenizer, image_processor=plain.image_processor)
    assert torch.equal(policy.position_ids(ids, mask, images), expected)
    assert torch.equal(scores(policy.eval(), batch), logs)


def test_supervised_steps_move_adapters_and_not_a_bit_of_the_rest(
    base: Path, batch: TokenBatch, make_trainer: Callable[..., Any]
) -> None:
    policy = VLMPolicy.from_pretrained(base, Loading(lora=LORA))
    before = {name: parameter.detach().clone() for name, parameter in policy.named_parameters()}
    module = SFTModule(policy, OptimiserConfig(learning_rate=1e-2, vision_learning_rate=1e-2), total_steps=3)
    loader: DataLoader[TokenBatch] = DataLoader([batch] * 3, batch_size=None)  # type: ignore[arg-type]
    make_trainer(max_steps=3).fit(module, train_dataloaders=loader)
    moved = {name for name, parameter in policy.named_parameters() if not torch.equal(parameter, before[name])}
    assert moved == {name for name in before if ".lora_" in name}


def test_saved_adapters_are_small_and_give_the_same_log_probabilities(
    base: Path, batch: TokenBatch, tmp_path: Path
) -> None:
    policy = adapted(base)
    policy.save_pretrained(tmp_path)
    assert not list(tmp_path.glob("model*.safetensors"))
    assert json.loads((tmp_path / "adapter_config.json").read_text())["base_model_name_or_path"] == str(base)
    again = VLMPolicy.from_pretrained(tmp_path, Loading(lora=LORA)).eval()
    assert torch.equal(scores(again, batch), scores(policy, batch))
    trained = {name for name, parameter in again.named_parameters() if parameter.requires_grad}
    assert trained == {name for name, _ in policy.named_parameters() if ".lora_" in name}
    assert again.tokenizer.chat_template == policy.tokenizer.chat_template


def test_peft_reads_them_as_its_own(base: Path, batch: TokenBatch, tmp_path: Path) -> None:
    policy = adapted(base, targets=["language", "lm_head"])
    policy.save_pretrained(tmp_path)
    bare = VLMPolicy.from_pretrained(base)
    theirs = peft.PeftModel.from_pretrained(bare.model, str(tmp_path))
    read = VLMPolicy(model=theirs, tokenizer=bare.tokenizer, image_processor=bare.image_processor).eval()
    assert torch.equal(scores(read, batch), scores(policy, batch))


@pytest.mark.parametrize("targets", [["language"], ["language", "vision", "lm_head"]])
def test_merged_they_are_an_ordinary_model_that_says_the_same(
    base: Path, targets: list[str], batch: TokenBatch, tmp_path: Path
) -> None:
    policy = adapted(base, targets=targets)
    expected, bare = scores(policy, batch), scores(VLMPolicy.from_pretrained(base).eval(), batch)
    merge_adapters(policy.model)
    policy.save_pretrained(tmp_path)
    assert not (tmp_path / "adapter_config.json").exists()
    merged = VLMPolicy.from_pretrained(tmp_path).eval()
    assert all(parameter.requires_grad for parameter in merged.parameters())
    assert not any("lora" in name for name, _ in merged.named_parameters())
    torch.testing.assert_close(scores(merged, batch), expected, atol=1e-5, rtol=1e-5)
    assert (expected - bare).abs().max() > 0.1


def test_switched_off_they_leave_the_base_model_and_come_back_as_they_were(base: Path, batch: TokenBatch) -> None:
    policy = adapted(base)
    frozen = next(parameter for name, parameter in policy.named_parameters() if ".lora_A." in name)
    frozen.requires_grad_(False)
    gradients = [parameter.requires_grad for parameter in policy.parameters()]
    with_them = scores(policy, batch)
    with adapters_off(policy.model):
        assert torch.equal(scores(policy, batch), scores(VLMPolicy.from_pretrained(base).eval(), batch))
    assert torch.equal(scores(policy, batch), with_them)
    assert [parameter.requires_grad for parameter in policy.parameters()] == gradients


def test_targets_are_parts_of_the_model_or_patterns(base: Path) -> None:
    model = VLMPolicy.from_pretrained(base).model
    language = target_layers(model, ["language"], [])
    assert len(language) == 2 * 7  # two layers of q, k, v, o, gate, up, down
    assert all(".language_model." in name for name in language)
    vision = target_layers(model, ["vision"], [])
    assert vision
    assert all(".visual." in name for name in vision)
    assert target_layers(model, ["language"], ["mlp", "layers.1"]) == [n for n in language if "0.self_attn" in n]
    assert target_layers(model, ["lm_head"], []) == ["lm_head"]


@pytest.mark.parametrize(
    ("lora", "sentence"),
    [
        ({"targets": ["q_prj"]}, r"policy.lora.targets: 'q_prj' names no weight of this model; near it are q_proj"),
        ({"exclude": ["mlpp"]}, r"policy.lora.exclude: 'mlpp' names no"),
        ({"exclude": ["language_model"]}, "leaves no layer to adapt"),
    ],
)
def test_targets_that_name_nothing_are_refused(base: Path, lora: dict[str, Any], sentence: str) -> None:
    with pytest.raises(UserError, match=sentence):
        VLMPolicy.from_pretrained(base, Loading(lora=LoRAConfig(**lora)))


def test_a_head_that_is_the_embeddings_gets_no_adapter(schooled: VLMPolicy) -> None:
    with pytest.raises(UserError, match="shares its weights with the embeddings"):
        add_adapters(copy.deepcopy(schooled).model, LoRAConfig(targets=["lm_head"]))


def test_adapters_without_their_base_or_of_another_rank_are_refused(base: Path, tmp_path: Path) -> None:
    adapted(base).save_pretrained(tmp_path)
    with pytest.raises(UserError, match=r"policy.lora.rank=8, but the adapters in .* have rank 4"):
        VLMPolicy.from_pretrained(tmp_path, Loading(lora=LoRAConfig(rank=8)))
    config = tmp_path / "adapter_config.json"
    settings = json.loads(config.read_text())
    config.write_text(json.dumps(settings | {"base_model_name_or_path": "/nowhere/base"}))
    with pytest.raises(UserError, match=r"belong to /nowhere/base, which cannot be loaded .*adapter_config.json"):
        VLMPolicy.from_pretrained(tmp_path)
    config.write_text(json.dumps(settings | {"base_model_name_or_path": None}))
    with pytest.raises(UserError, match="does not say which model its adapters belong to"):
        VLMPolicy.from_pretrained(tmp_path)


def test_without_peft_one_sentence_says_what_to_install(base: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = VLMPolicy.from_pretrained(base).model
    monkeypatch.setattr("importlib.util.find_spec", lambda name, package=None: None)
    with pytest.raises(UserError, match=r"policy.lora needs the package peft: pip install"):
        add_adapters(model, LORA)


def test_adapters_on_quantised_weights_learn_and_are_counted_alike(
    base: Path, batch: TokenBatch, make_trainer: Callable[..., Any], tmp_path: Path
) -> None:
    pytest.importorskip("bitsandbytes")
    policy = VLMPolicy.from_pretrained(base, Loading(lora=LORA, quantise="4bit"))
    exact = scores(VLMPolicy.from_pretrained(base).eval(), batch)
    begun = scores(policy.eval(), batch)
    assert 0.001 < (begun - exact).abs().max() < 10  # rounded to 4 bits, and still that model
    module = SFTModule(policy, OptimiserConfig(learning_rate=1e-2), total_steps=3)
    loader: DataLoader[TokenBatch] = DataLoader([batch] * 3, batch_size=None)  # type: ignore[arg-type]
    make_trainer(max_steps=3).fit(module, train_dataloaders=loader)
    learned = scores(policy.eval(), batch)
    assert learned.sum() > begun.sum()
    policy.save_pretrained(tmp_path)
    again = VLMPolicy.from_pretrained(tmp_path, Loading(lora=LORA, quantise="4bit")).eval()
    torch.testing.assert_close(scores(again, batch), learned, atol=1e-5, rtol=0)
    with pytest.raises(UserError, match="not merged into quantised weights"):
        merge_adapters(policy.model)


@pytest.mark.parametrize("targets", [["language"], ["language", "vision", "lm_head"]])
def test_the_merged_weights_are_those_that_a_merge_would_leave(base: Path, targets: list[str]) -> None:
    policy = adapted(base, targets=targets)
    before = {name: weights.clone() for name, weights in policy.model.state_dict().items()}
    found = dict(merged_state_dict(policy.model))
    assert all(torch.equal(weights, before[name]) for name, weights in policy.model.state_dict().items())
    merge_adapters(policy.model)
    expected = policy.model.state_dict()
    assert found.keys() == expected.keys()
    for name, weights in expected.items():
        torch.testing.assert_close(found[name], weights, atol=1e-6, rtol=1e-5)
