"""The JSON schema of experiments: up to date, true of what is shipped, and as strict as the run itself."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import jsonschema
import pytest
from omegaconf import OmegaConf

from medvista.app.config.command_line import main
from medvista.app.config.composition import CONF_DIR, compose, to_yaml
from medvista.app.config.json_schema import FILE, experiment_schema, schema_text
from medvista.app.config.schema import ExperimentConfig
from medvista.errors import UserError

SHIPPED = sorted(CONF_DIR.glob("*.yaml"))


def valid(settings: Any) -> bool:
    return jsonschema.Draft7Validator(experiment_schema()).is_valid(settings)


def test_the_file_in_the_repository_is_up_to_date(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(lambda config: None, ["--json-schema"]) == 0
    printed = capsys.readouterr().out
    assert printed == schema_text() + "\n"
    refresh = f"python -m experiments.run --json-schema > experiments/conf/{FILE}"
    assert (CONF_DIR / FILE).read_text(encoding="utf-8") == printed, refresh


def test_it_is_a_schema() -> None:
    jsonschema.Draft7Validator.check_schema(experiment_schema())


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
def test_shipped_experiments_are_valid_and_name_it(path: Path) -> None:
    jsonschema.validate(OmegaConf.to_container(OmegaConf.load(path), resolve=False), experiment_schema())
    assert path.read_text().splitlines()[0] == f"# yaml-language-server: $schema={FILE}"


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
def test_the_configuration_that_a_run_leaves_is_valid(path: Path) -> None:
    saved = to_yaml(compose(ExperimentConfig, [f"experiment={path.stem}"]))
    jsonschema.validate(OmegaConf.to_container(OmegaConf.create(saved)), experiment_schema())


@pytest.mark.parametrize(
    "settings",
    [
        {"sead": 1},
        {"seed": "abc"},
        {"seed": 1.5},
        {"seed": -1},
        {"data": 3},
        {"rl": {"temperature": 0}},
        {"rl": {"reward": {"accuracy": "much"}}},
        {"rl": {"kl": {"estimator": "k4"}}},
        {"sft": {"expert": {"jitter_share": 1.5}}},
        {"sft": {"optimiser": {"betas": [0.9]}}},
        {"env": {"tools_limits": {"zoom": {"timeout": 3}}}},
        {"resume": "maybe"},
    ],
    ids=str,
)
def test_what_a_run_refuses_the_editor_marks(settings: dict[str, Any], tmp_path: Path) -> None:
    assert not valid(settings)
    (tmp_path / "mine.yaml").write_text(OmegaConf.to_yaml(OmegaConf.create(settings)))
    with pytest.raises(UserError):
        compose(ExperimentConfig, [f"experiment={tmp_path / 'mine.yaml'}"])


@pytest.mark.parametrize(
    "settings",
    [
        {"extends": "nano", "seed": "${data.seed}"},
        {"env": {"tools_limits": {"zoom": {"timeout_s": 3}}, "workers": None}},
        {"policy": {"endpoint": {"model": "m", "body": {"thinking": {"type": "on"}}}}},
        {"policy": {"endpoint": None}},
        {"resume": "stages"},
    ],
    ids=str,
)
def test_what_a_run_accepts_the_editor_does_not_mark(settings: dict[str, Any], tmp_path: Path) -> None:
    assert valid(settings)
    (tmp_path / "mine.yaml").write_text(OmegaConf.to_yaml(OmegaConf.create(settings)))
    compose(ExperimentConfig, [f"experiment={tmp_path / 'mine.yaml'}"])


def test_sections_tell_the_defaults_that_they_have_there() -> None:
    properties = experiment_schema()["properties"]
    rates = [properties[name]["properties"]["optimiser"]["properties"]["learning_rate"] for name in ("sft", "rl")]
    assert [rate["default"] for rate in rates] == [2e-3, 1e-4]
