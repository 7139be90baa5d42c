"""A run small enough to be made several times in a test session."""

from __future__ import annotations

from pathlib import Path

import pytest

from medvista.app.commands.run import main

# A model of 70,000 parameters that half learns the expert's turns: some episodes are right, so that RL has a gradient.
TINY = [
    "experiment=smoke",
    "env.view_size=32",
    "policy.nano.view_size=32",
    "policy.nano.vocab_size=400",
    "policy.nano.hidden_size=32",
    "policy.nano.layers=2",
    "policy.nano.intermediate_size=64",
    "policy.nano.text_init_std=0.2",
    "policy.nano.vision_hidden_size=32",
    "policy.nano.vision_depth=1",
    "policy.nano.vision_heads=2",
    "policy.nano.vision_intermediate_size=64",
    "pretrain.steps=2",
    "pretrain.caption_steps=2",
    "data.train_images=8",
    "data.test_images=2",
    "sft.steps=80",
    "sft.optimiser.learning_rate=0.01",
    "rl.updates=4",
    "trainer.validate_every=40",
    "trainer.accelerator=cpu",
    "trainer.threads=1",
]


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """Overrides of a run of seconds; all tests share the cache of its base model."""
    return [*TINY, f"cache_dir={tmp_path_factory.mktemp('cache')}"]


@pytest.fixture(scope="session")
def finished(tiny: list[str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a run of every arm that ended undisturbed."""
    folder = tmp_path_factory.mktemp("runs") / "finished"
    assert main([*tiny, f"output_dir={folder}"]) == 0
    return folder
