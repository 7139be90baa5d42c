"""`--dry-run`: what a run needs and takes, found out without running it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import (
    Gemma3ForCausalLM,
    Gemma3TextConfig,
    Qwen2Config,
    Qwen2ForCausalLM,
    Qwen3Config,
    Qwen3ForCausalLM,
)

from medvista.app.commands.run import main
from medvista.app.config.composition import list_experiments
from medvista.app.dry_run.architecture import find_architecture, shipped_architectures
from medvista.app.dry_run.memory import FULL, HALF, Layout, cache_bytes, layer_bytes, memory_by_kind, peak_gib
from medvista.policies.families import family_class

RECIPES = [name for name in list_experiments() if name.startswith("medvista_r1")]
SIZES = {
    "hidden_size": 128,
    "intermediate_size": 320,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "vocab_size": 64,
}
FAMILIES: dict[str, tuple[Any, Any, dict[str, int]]] = {
    "qwen3": (Qwen3ForCausalLM, Qwen3Config, {"head_dim": 32}),
    "qwen2": (Qwen2ForCausalLM, Qwen2Config, {}),
    "gemma3_text": (Gemma3ForCausalLM, Gemma3TextConfig, {"head_dim": 32}),
}


def dry_run(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, dict[str, Any]]:
    """The exit code, what was printed, and the last line."""
    code = main([*arguments, "--dry-run"])
    printed = capsys.readouterr()
    lines = printed.out.strip().splitlines()
    return code, printed.out + printed.err, json.loads(lines[-1]) if code in (0, 1) else {}


def kept_per_token(family: str, *, layers: int, tokens: int, half: bool) -> int:
    """Bytes that autograd keeps for backward beside the weights."""
    model_class, config_class, more = FAMILIES[family]
    model = model_class(config_class(**SIZES, **more, num_hidden_layers=layers)).train()
    weights = {parameter.untyped_storage().data_ptr() for parameter in model.parameters()}
    kept: dict[int, torch.Tensor] = {}

    def pack(tensor: torch.Tensor) -> torch.Tensor:
        if tensor.untyped_storage().data_ptr() not in weights:
            kept[tensor.untyped_storage().data_ptr()] = tensor
        return tensor

    ids = torch.zeros(2, tokens // 2, dtype=torch.long)
    hooks = torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor)
    with hooks, torch.autocast("cpu", torch.bfloat16, enabled=half):
        out = model.model(input_ids=ids, use_cache=False)
    del out
    return sum(tensor.untyped_storage().nbytes() for tensor in kept.values())


@pytest.mark.parametrize("half", [True, False])
@pytest.mark.parametrize("family", FAMILIES)
def test_what_backward_keeps_of_a_layer_is_what_autograd_keeps(family: str, half: bool) -> None:
    def of_two_layers(tokens: int) -> int:
        few, more = (kept_per_token(family, layers=n, tokens=tokens, half=half) for n in (1, 3))
        return more - few

    # The slope over tokens, since copies of the weights in 16 bits are kept too, and do not grow with them.
    measured = (of_two_layers(256) - of_two_layers(128)) / 128 / 2
    _, config_class, more = FAMILIES[family]
    config = config_class(**SIZES, **more)

    assert layer_bytes(config, HALF if half else FULL) == pytest.approx(measured, rel=0.05)


def layout(**changed: Any) -> Layout:
    values: dict[str, Any] = {
        "parameters": 2**30,
        "outside": 2**28,
        "trained": 2**30,
        "copied": 0,
        "weight_bytes": FULL,
        "compute_bytes": HALF,
        "autocast": True,
        "optimiser": "adamw",
        "strategy": "auto",
        "processes": 1,
        "step_tokens": 1024,
        "checkpointing": True,
        "chunk_logits": 2**25,
        "cached_tokens": 1024,
    }
    return Layout(**{**values, **changed})


def text() -> Qwen3Config:
    return Qwen3Config(**SIZES, head_dim=32, num_hidden_layers=4)


def test_weights_gradients_and_moments_of_a_billion_values_are_sixteen_gib_and_a_cast_copy_two():
    by_kind = memory_by_kind(text(), layout())

    assert [by_kind[kind] for kind in ("weights", "gradients", "optimiser")] == [4.0, 4.0, 8.0]
    assert by_kind["weights in use, playing"] == by_kind["weights in use, learning"] == 2.0
    assert by_kind["logits"] == 0.5


def test_fsdp2_shares_out_what_deepspeed_stage_2_shares_out_in_part():
    shared = memory_by_kind(text(), layout(strategy="fsdp2", processes=8))
    part = memory_by_kind(text(), layout(strategy="deepspeed_stage_2", processes=8))

    assert [shared[kind] for kind in ("weights", "gradients", "optimiser")] == [0.5, 0.5, 1.0]
    assert shared["weights in use, playing"] == 6.0, "gathered whole, and cast"
    assert shared["weights in use, learning"] == 1.5, "a quarter of them at once"
    assert [part[kind] for kind in ("weights", "gradients", "optimiser")] == [4.0, 0.5, 1.0]


def test_playing_and_learning_take_turns_so_that_the_larger_counts():
    by_kind = memory_by_kind(text(), layout(cached_tokens=2**24))
    learning = sum(by_kind[kind] for kind in ("gradients", "activations", "logits", "weights in use, learning"))
    playing = by_kind["weights in use, playing"] + by_kind["cache"]
    both = sum(by_kind.values()) - learning - playing

    assert cache_bytes(text(), layout(cached_tokens=2**24)) == 2**24 * 2 * 4 * 2 * 32 * 2
    assert peak_gib(by_kind) == pytest.approx(both + max(learning, playing))


@pytest.mark.parametrize("hub_id", shipped_architectures())
def test_shipped_architectures_have_as_many_parameters_as_was_published(hub_id: str) -> None:
    assert find_architecture(hub_id).parameters == shipped_architectures()[hub_id]["parameters"]


def test_images_take_as_many_tokens_as_the_family_gives_them():
    configs = {hub_id: find_architecture(hub_id).model.config for hub_id in shipped_architectures()}
    tokens = {hub_id: family_class(config).tokens_of_square(config, 448) for hub_id, config in configs.items()}

    assert tokens["Qwen/Qwen3-VL-8B-Instruct"] == 14 * 14
    assert tokens["OpenGVLab/InternVL3-8B-hf"] == tokens["google/medgemma-4b-it"] == 256


@pytest.mark.slow
@pytest.mark.parametrize("recipe", RECIPES)
def test_every_recipe_fits_the_gpus_that_it_names(recipe: str, capsys, tmp_path: Path) -> None:
    code, said, last = dry_run(capsys, f"experiment={recipe}", f"output_dir={tmp_path}", "env.tools=[zoom,window]")

    assert (code, last["fits"], last["mistakes"]) == (0, True, 0), said


MISTAKES = {
    "env.tools=[zoom,windw]": "window",
    "data.more_benchmarks=[path_vga]": "path_vqa",
    "rl.reward={acuracy: 1.0}": "accuracy",
    "rl.kl.estimator=k1": "expected gradient of zero",
    "sft.path=nowhere.jsonl": "there is no such file",
    "rl.prompts=4": "too few for 8 processes",
    "trainer.strategy=fsdp": "fsdp2",
    "trainer.precision=bf17": "precision",
    "trainer.micro_batch_tokens=512": "raise it",
    "trainer.gpu=h1000": "h100",
    "max_new_tokens=70000": "the model reads 262,144",
    "policy.path=nowhere/at-all": "has no configuration",
    "arms=[sft,sftrl]": "sft_rl",
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_is_named_in_a_sentence(mistake: str, capsys, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)  # else it asks the hub, again and again
    code, said, _ = dry_run(
        capsys,
        "experiment=medvista_r1_8b",
        f"output_dir={tmp_path}",
        "env.tools=[zoom,window]",
        "data.more_benchmarks=[]",
        "benchmarks=[]",
        "data.benchmark=phantom",
        mistake,
    )

    assert code in (1, 2)
    assert MISTAKES[mistake] in " ".join(said.split())


def test_what_a_run_would_take_is_no_mistake(capsys, tmp_path: Path) -> None:
    _, said, last = dry_run(
        capsys,
        "experiment=medvista_r1_8b",
        f"output_dir={tmp_path}",
        "env.tools=[zoom]",
        "data={benchmark: phantom, more_benchmarks: []}",
        "benchmarks=[phantom]",
        "rl.reward={accuracy: 1.0, mask_dice: 0.1, overlong: 0.1}",
        "rl.reward_options={overlong: {limit: 96, margin: 32}}",
    )

    assert last["mistakes"] == 0, said


def test_a_model_that_is_too_large_for_its_gpu_is_told_with_the_amount(capsys, tmp_path: Path) -> None:
    code, said, last = dry_run(
        capsys,
        "experiment=medvista_r1_8b",
        f"output_dir={tmp_path}",
        "env.tools=[zoom]",
        "data={benchmark: phantom, more_benchmarks: []}",
        "benchmarks=[phantom]",
        "trainer={devices: 1, strategy: auto, gpu: rtx4090}",
    )

    assert code == 1
    assert last["fits"] is False
    assert last["parameters"] == 8_767_123_696
    assert last["gib_per_gpu"] > 100
    assert "of the 23.6 GiB of one rtx4090" in " ".join(said.split())
