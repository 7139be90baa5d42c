"""A run with adapters: each stage goes on with those of the one before, and leaves a small folder that others read."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from medvista.app.commands.merge import main as merge
from medvista.app.commands.run import main
from medvista.policies import VLMPolicy

pytest.importorskip("peft")
LORA = [
    "policy.lora.rank=4",
    "sft.steps=30",
    "rl.updates=2",
    "rl.reward={overlong: 1.0}",  # differs between siblings, however little the policy has learned
    "rl.reward_options={overlong: {limit: 96, margin: 96}}",
    "arms=[sft_rl]",
    "evaluation.modes=[greedy]",
]


@pytest.fixture(scope="module")
def run(tiny: list[str], tmp_path_factory: pytest.TempPathFactory) -> tuple[list[str], Path]:
    folder = tmp_path_factory.mktemp("runs") / "lora"
    command = [*tiny, *LORA, "evaluation.counterfactuals=[]", f"output_dir={folder}"]
    assert main(command) == 0
    return command, folder


def config_of(folder: Path) -> dict[str, Any]:
    config: dict[str, Any] = json.loads((folder / "adapter_config.json").read_text())
    return config


@pytest.mark.slow
def test_stages_keep_adapters_of_one_base_model_and_go_on_with_them(run: tuple[list[str], Path]) -> None:
    _, folder = run
    sft, rl = (folder / "checkpoints" / stage / "policy" for stage in ("sft", "sft_rl"))
    assert not [*sft.glob("model*"), *rl.glob("model*")]
    base = config_of(sft)["base_model_name_or_path"]
    assert config_of(rl)["base_model_name_or_path"] == base
    assert Path(base).name.startswith("nano-")
    before, after = (load_file(path / "adapter_model.safetensors") for path in (sft, rl))
    assert before.keys() == after.keys()
    gaps = [(after[name] - before[name]).abs().max().item() for name in before]
    sizes = [before[name].abs().max().item() for name in before if "lora_B" in name]
    assert max(sizes) > 1e-3  # SFT trained them
    assert 0 < max(gaps) < max(sizes)  # and RL went on from there, by two small steps


@pytest.mark.slow
def test_a_finished_run_goes_on_without_training_and_another_rank_is_named(
    run: tuple[list[str], Path], capsys: pytest.CaptureFixture[str]
) -> None:
    command, folder = run
    before = (folder / "checkpoints" / "sft" / "done.json").stat().st_mtime_ns
    assert main([*command, "resume=true"]) == 0
    assert (folder / "checkpoints" / "sft" / "done.json").stat().st_mtime_ns == before
    assert main([*command, "resume=true", "policy.lora.rank=8"]) == 2
    assert "policy.lora.rank was 4 and is 8" in capsys.readouterr().err


@pytest.mark.slow
def test_the_folder_is_a_policy_for_an_evaluation_and_merges_into_an_ordinary_one(
    run: tuple[list[str], Path], tiny: list[str], tmp_path: Path
) -> None:
    _, folder = run
    adapters, merged = folder / "checkpoints" / "sft_rl" / "policy", tmp_path / "merged"
    assert merge([str(adapters), str(merged)]) == 0
    ids = torch.arange(300, 320)[None]
    mask = torch.ones_like(ids)
    with torch.no_grad():
        expected, found = (VLMPolicy.from_pretrained(path).eval().logits(ids, mask, {}) for path in (adapters, merged))
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-5)
    evaluation = [*tiny, "experiment=evaluate", "benchmarks=[phantom]", "evaluation.arms=[policy]"]
    own = ["evaluation.modes=[greedy]", "evaluation.counterfactuals=[]", f"output_dir={tmp_path / 'evaluated'}"]
    assert main([*evaluation, *own, f"policy.path={adapters}"]) == 0


def test_what_cannot_be_merged_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert merge([str(tmp_path), str(tmp_path / "merged")]) == 2
    assert "holds no adapters" in capsys.readouterr().err
    assert merge([str(tmp_path)]) == 2
    assert "two folders are needed" in capsys.readouterr().err


@pytest.mark.slow
def test_with_merge_rl_starts_with_fresh_adapters_on_the_merged_policy(tiny: list[str], tmp_path: Path) -> None:
    more = ["policy.lora.merge=true", "rl.reference=adapters_off", "evaluation.counterfactuals=[]"]
    assert main([*tiny, *LORA, *more, f"output_dir={tmp_path}"]) == 0
    for stage in ("sft", "sft_rl"):
        policy = tmp_path / "checkpoints" / stage / "policy"
        assert (policy / "model.safetensors").exists()
        assert not (policy / "adapter_config.json").exists()
    before, after = (
        load_file(tmp_path / "checkpoints" / s / "policy" / "model.safetensors") for s in ("sft", "sft_rl")
    )
    moved = {name for name in before if not torch.equal(before[name], after[name])}
    assert moved
    assert all(name.rsplit(".", 2)[-2].endswith("_proj") and ".language_model." in name for name in moved)
