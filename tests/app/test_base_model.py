"""The nano base model that ships with the package is that of the main job, and as good as its card says."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from medvista.app.config.command_line import load_config
from medvista.app.players import Players
from medvista.app.questions import Questions
from medvista.app.resuming import RunSettings
from medvista.app.training.base_model import SHIPPED, BaseModel, shipped_card
from medvista.app.training.pretraining import caption_figures
from medvista.app.training.shipping import ship
from medvista.app.training.stages import Stages
from medvista.policies import VLMPolicy


def base(*overrides: str) -> BaseModel:
    config = load_config(list(overrides))
    return BaseModel(Players(config, Questions(config)))


def test_the_main_job_starts_from_the_shipped_model() -> None:
    model = base()
    assert model.recipe == shipped_card()["recipe"], "rebuild it: python -m medvista.app.training.shipping"
    assert (model.path, model.origin) == (SHIPPED, "shipped")
    assert (SHIPPED / "README.md").read_text().startswith("# The nano base model")


@pytest.mark.parametrize(
    "override", ["data.seed=7", "policy.nano.view_size=96", "policy.nano.vocab_size=600", "pretrain.steps=601"]
)
def test_another_recipe_trains_its_own(override: str) -> None:
    assert not base(override).is_shipped


def test_a_given_model_is_told_by_its_files(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{}")
    before = base(f"policy.path={tmp_path}").identity
    (tmp_path / "config.json").write_text("{ }")
    assert base(f"policy.path={tmp_path}").identity != before
    assert base("policy.path=Qwen/Qwen3-VL-2B-Instruct").identity == "Qwen/Qwen3-VL-2B-Instruct"


def test_a_model_that_was_looked_at_is_handed_on_once_and_not_read_again() -> None:
    model = base(f"policy.path={SHIPPED}")
    looked_at = model.policy()
    model.keep(looked_at)
    assert model.policy() is looked_at
    assert model.policy() is not looked_at
    model.keep(looked_at)
    model.keep(None)
    assert model.policy() is not looked_at


def test_a_stage_starts_from_the_model_that_rendered_its_demonstrations(tmp_path: Path) -> None:
    few = ("sft.demonstrations=1", "data.train_images=2", "data.validation_images=1", "data.test_images=1")
    model = base(f"policy.path={SHIPPED}", f"output_dir={tmp_path}", *few)
    stages = Stages(model.players, model, RunSettings(model.config, model.players.questions, model.identity))
    looked_at = stages.policy("base")
    model.keep(looked_at)
    assert stages.look_demonstrations()
    assert stages.policy("base") is looked_at


@pytest.mark.slow
def test_the_shipped_model_captions_as_well_as_its_card_says() -> None:
    model = base()
    figures = caption_figures(model.players, VLMPolicy.from_pretrained(SHIPPED))
    recorded = shipped_card()["figures"]
    assert figures["caption_nll"] == pytest.approx(recorded["caption_nll"], abs=0.005)
    assert figures["captions_right"] == pytest.approx(recorded["captions_right"], abs=0.02)


@pytest.mark.slow
def test_a_rebuilt_model_replaces_the_kept_one_and_can_be_shipped(tiny: list[str], tmp_path: Path) -> None:
    own = [*tiny, f"cache_dir={tmp_path / 'cache'}"]
    kept = Path(base(*own).path)
    written = (kept / "model.safetensors").stat().st_mtime_ns
    assert Path(base(*own).path) == kept
    assert (kept / "model.safetensors").stat().st_mtime_ns == written, "it was kept"
    model = base(*own, "pretrain.rebuild=true")
    assert model.origin == "trained in this run"
    assert Path(model.path) == kept
    assert (kept / "model.safetensors").stat().st_mtime_ns > written
    ship(kept, model.players, model.recipe, tmp_path / "shipped")
    card = json.loads((tmp_path / "shipped" / "recipe.json").read_text())
    assert card["recipe"] == model.recipe
    assert 0 < card["figures"]["caption_nll"] < 20
    assert (tmp_path / "shipped" / "logs" / "captions" / "logs" / "metrics.csv").exists()
