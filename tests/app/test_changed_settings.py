"""A run goes on only with what was made under the same settings; what differs is named, and only that is made again."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from medvista.app.commands.run import main
from medvista.app.config.command_line import load_config
from medvista.app.config.keys import iter_keys
from medvista.app.config.schema import ExperimentConfig
from medvista.app.questions import Questions
from medvista.app.stage_settings import STAGES, differences, episode_settings, read_settings, stage_settings
from medvista.errors import UserError

SMALL = ["experiment=smoke", "data.train_images=8", "data.validation_images=2"]


def shaping(stage: str, *overrides: str, base: str = "base") -> dict[str, object]:
    config = load_config([*SMALL, *overrides])
    return dict(stage_settings(config, stage, Questions(config), base))


@pytest.fixture(scope="module")
def run(tiny: list[str], tmp_path_factory: pytest.TempPathFactory) -> tuple[list[str], Path]:
    """A finished run of the cold start and a direct policy, and the command that made it."""
    folder = tmp_path_factory.mktemp("runs") / "run"
    command = [*tiny, "sft.steps=4", "arms=[direct,sft]", "evaluation.modes=[greedy]", f"output_dir={folder}"]
    assert main(command) == 0
    return command, folder


def done(folder: Path) -> dict[str, int]:
    return {path.parent.name: path.stat().st_mtime_ns for path in folder.glob("checkpoints/*/done.json")}


def test_a_changed_setting_is_refused_by_name_and_nothing_is_overwritten(
    run: tuple[list[str], Path], capsys: pytest.CaptureFixture[str]
) -> None:
    command, folder = run
    before = {path: path.read_bytes() for path in (folder / "config.yaml", folder / "results.json")}
    assert main([*command, "resume=true", "sft.steps=5"]) == 2
    said = capsys.readouterr().err
    assert "sft" in said
    assert "sft.steps was 4 and is 5" in said
    assert "resume=stages" in said
    assert {path: path.read_bytes() for path in before} == before


def test_an_ablation_of_the_reward_is_no_null_result(
    run: tuple[list[str], Path], capsys: pytest.CaptureFixture[str]
) -> None:
    command, _ = run
    assert main([*command, "resume=true", "rl.reward={accuracy: 1.0}"]) == 2
    assert "rl.reward.format was 0.1 and is not set" in capsys.readouterr().err


def test_only_the_changed_stage_is_trained_again_and_the_old_one_is_kept(run: tuple[list[str], Path]) -> None:
    command, folder = run
    before = done(folder)
    old = (folder / "checkpoints" / "sft" / "policy" / "model.safetensors").read_bytes()
    assert main([*command, "resume=stages", "sft.steps=6"]) == 0
    after = done(folder)
    assert after["direct"] == before["direct"]
    assert after["sft"] > before["sft"]
    assert json.loads((folder / "checkpoints" / "sft" / "done.json").read_text())["steps"] == 6
    (kept,) = (folder / "replaced").glob("*/checkpoints/sft/policy/model.safetensors")
    assert kept.read_bytes() == old
    replayed = {path.name for path in (folder / "replaced").glob("*/trajectories/test/*.jsonl")}
    assert replayed == {"phantom-sft-greedy.jsonl"}
    assert (folder / "trajectories" / "test" / "phantom-sft-greedy.jsonl").exists()


def test_a_folder_without_records_is_not_trusted(
    run: tuple[list[str], Path], capsys: pytest.CaptureFixture[str]
) -> None:
    command, folder = run
    record = folder / "checkpoints" / "direct" / "settings.json"
    kept = record.read_bytes()
    try:
        record.unlink()
        assert main([*command, "sft.steps=6", "resume=true"]) == 2
        assert "no record of its settings" in capsys.readouterr().err
        record.write_bytes(kept.replace(b'"seed": 0', b'"seed": 1'))
        with pytest.raises(UserError, match="is damaged"):
            read_settings(record)
    finally:
        record.write_bytes(kept)


@pytest.mark.parametrize(
    ("override", "changed"),
    [
        ("seed=1", set(STAGES)),
        ("max_new_tokens=31", set(STAGES)),
        ("env.view_size=32", set(STAGES)),
        ("data.seed=1", set(STAGES)),
        ("trainer.precision=bf16-mixed", set(STAGES)),
        ("direct.steps=9", {"direct", "tools_unused", "blind", "direct_rl"}),
        ("sft.expert.jitter_share=0.9", {"sft", "sft_rl", "sft_longer", "sft_rejection"}),
        ("rl.optimiser.learning_rate=1", {"direct_rl", "sft_rl", "sft_longer", "sft_rejection"}),
        ("rejection.rounds=9", {"sft_rejection"}),
        ("data.test_images=9", set()),
        ("trainer.threads=3", set()),
        ("output_dir=elsewhere", set()),
        ("evaluation.resamples=3", set()),
    ],
)
def test_a_setting_shapes_the_stages_that_depend_on_it(override: str, changed: set[str]) -> None:
    found = {stage for stage in STAGES if differences(shaping(stage), shaping(stage, override))}
    assert found == changed


def test_every_key_shapes_a_stage_or_the_episodes_or_is_named_as_one_that_does_not() -> None:
    config = load_config(SMALL)
    questions = Questions(config)
    kept: set[str] = set(episode_settings(config))
    for stage in STAGES:
        kept |= set(stage_settings(config, stage, questions, "base"))
    leaves = {key.name for key in iter_keys(ExperimentConfig) if not key.is_section}
    silent = {name for name in leaves if not any(_covers(found, name) for found in kept)}
    without_influence = {
        *(
            "experiment",
            "description",
            "task",
            "benchmarks",
            "arms",
            "output_dir",
            "cache_dir",
            "resume",
            "collect",
            "overrides",
            "sweep",
        ),
        *("data.root", "data.test_images", "direct.path", "sft.path", "pretrain.rebuild", "evaluation"),
        *("direct.pack_tokens", "sft.pack_tokens"),
        *("env.workers", "env.tools_executor", "env.tools_concurrency", "env.tools_memory_mb", "env.tools_cache_mb"),
        *(
            "env.tools_ray_address",
            "env.burned_in_text",
            "policy.path",
            "policy.language_model",
            "policy.untrained",
            "policy.endpoint",
        ),
        *("policy.cache_tokens", "trainer.max_nonfinite_steps"),
        *("policy.vllm.enforce_eager", "policy.vllm.gpu_memory_utilization"),
        *("policy.vllm.max_model_len", "policy.vllm.tensor_parallel_size"),
        *("rl.check_batches", "rl.decomposition", "rl.engine_tolerance", "rl.monitor"),
        *(
            "trainer.accelerator",
            "trainer.threads",
            "trainer.checkpoint_every",
            "trainer.keep_checkpoints",
            "trainer.gpu",
        ),
        *("trainer.devices", "trainer.num_nodes", "trainer.strategy", "trainer.timeout_minutes"),
        *("trainer.gradient_checkpointing", "trainer.micro_batch_tokens", "trainer.share_prompts"),
    }
    assert {name for name in silent if not any(_covers(found, name) for found in without_influence)} == set()


def _covers(found: str, name: str) -> bool:
    return found == name or found.startswith(f"{name}.") or name.startswith(f"{found}.")


def test_other_demonstrations_in_the_same_file_count(tmp_path: Path) -> None:
    path = tmp_path / "mine.jsonl"
    path.write_text("{}\n")
    before = shaping("sft", f"sft.path={path}")
    path.write_text("{} \n")
    assert [text.split(" was")[0] for text in differences(before, shaping("sft", f"sft.path={path}"))] == [
        "sft.path (its content)"
    ]


def test_another_base_model_counts() -> None:
    assert differences(shaping("sft"), shaping("sft", base="another")) == ["the base model was base and is another"]
