"""Every key is explained, the ones people turn at once, and a near miss is found where it was looked for."""

from __future__ import annotations

import pytest

from medvista.app.config.composition import compose
from medvista.app.config.help_pages import MAIN_KEYS, WIDTH, help_page
from medvista.app.config.keys import iter_documented
from medvista.app.config.layer_checks import other_names
from medvista.app.config.schema import ExperimentConfig
from medvista.app.config.suggestions import nearest_keys
from medvista.errors import UserError

KEYS = {key.name: key for key in iter_documented(ExperimentConfig)}
MAIN = [name for names in MAIN_KEYS.values() for name in names]


def test_every_key_is_explained_in_sentences() -> None:
    assert len(KEYS) > 176
    unexplained = [name for name, key in KEYS.items() if not key.help.endswith((".", "..."))]
    assert unexplained == []


def test_every_default_is_in_the_range_that_its_help_tells() -> None:
    for key in KEYS.values():
        if isinstance(key.default, (int, float)) and not isinstance(key.default, bool):
            assert key.explanation.allows(key.default), key.name


def test_the_page_shows_the_keys_that_people_turn_with_the_defaults_they_have() -> None:
    page = help_page([])
    assert set(MAIN) <= KEYS.keys()
    assert all(f"  {name}=" in page for name in MAIN)
    # A section's own default wins over that of the class that it shares with others.
    assert "sft.optimiser.learning_rate=0.002" in page
    assert "rl.optimiser.learning_rate=0.0001" in page
    assert len(page.splitlines()) <= 110, "too long to read"
    assert all(len(line) <= WIDTH for line in page.splitlines())


def test_a_key_is_told_with_its_type_range_other_names_and_who_sets_it() -> None:
    page = help_page(["rl.kl.coefficient"])
    assert page.startswith("rl.kl.coefficient=null\n")
    assert "a number or null; at least 0" in page
    assert "beta" in page
    page = help_page(["rl.updates"])
    assert f"experiment=smoke: {compose(ExperimentConfig, ['experiment=smoke']).rl.updates}" in page
    assert "experiment=nano_claim, every variant: 60" in page
    assert "experiment=nano_claim, variant faulty: 400" in help_page(["sft.demonstrations"])
    assert "vqa_rad_nano" not in page, "what is inherited is not told again"


def test_a_section_is_told_key_by_key_and_a_mapping_with_what_its_entries_hold() -> None:
    page = help_page(["rl"])
    inside = [key.name for key in KEYS.values() if key.name.startswith("rl.") and not key.is_section]
    assert all(f"  {name}=" in page for name in inside)
    assert "env.mcp_servers.<name>.url=null" in help_page(["env.mcp_servers"])


def test_every_page_fits_the_terminal() -> None:
    for line in help_page(list(KEYS)).splitlines():
        assert len(line) <= WIDTH or " " not in line.strip()


def test_what_is_no_key_is_refused() -> None:
    with pytest.raises(UserError, match=r"did you mean `rl\.temperature`"):
        help_page(["temperature"])


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("rl.learning_rate", "rl.optimiser.learning_rate"),
        ("rl.lr", "rl.optimiser.learning_rate"),
        ("sft.lr", "sft.optimiser.learning_rate"),
        ("direct.learning_rate", "direct.optimiser.learning_rate"),
        ("pretrain.lr", "pretrain.learning_rate"),
        ("rl.optimizer.learning_rate", "rl.optimiser.learning_rate"),
        ("rl.grpo.learning_rate", "rl.optimiser.learning_rate"),
        ("optimiser.learning_rates", "rl.optimiser.learning_rates"),
        ("rl.kl_coefficient", "rl.kl.coefficient"),
        ("kl", "rl.kl.coefficient"),
        ("rl.beta", "rl.kl.coefficient"),
        ("rl.grpo.kl_coefficient", "rl.kl.coefficient"),
        ("temperature", "rl.temperature"),
        ("rl.temp", "rl.temperature"),
        ("rl.steps", "rl.updates"),
        ("rl.batch_size", "rl.prompts"),
        ("rl.num_generations", "rl.group_size"),
        ("rl.rewards", "rl.reward"),
        ("sft.warmup", "sft.optimiser.warmup_steps"),
        ("sft.epochs", "sft.steps"),
        ("rl.seed", "seed"),
        ("env.timeout_s", "env.tools_timeout_s"),
        ("env.max_steps", "env.max_turns"),
        ("env.image_size", "env.view_size"),
        ("trainer.gpus", "trainer.devices"),
        ("eval.modes", "evaluation.modes"),
        ("policy.model", "policy.path"),
        ("policy.nano.hidden", "policy.nano.hidden_size"),
        ("output", "output_dir"),
        ("data.rot", "data.root"),
    ],
)
def test_a_near_miss_is_sought_in_the_same_section_first(written: str, meant: str) -> None:
    assert nearest_keys(written, other_names(ExperimentConfig))[0] == meant


def test_where_several_fit_they_are_all_named() -> None:
    found = nearest_keys("learning_rate", other_names(ExperimentConfig))
    assert "rl.optimiser.learning_rate" in found
    assert "sft.optimiser.learning_rate" in found
