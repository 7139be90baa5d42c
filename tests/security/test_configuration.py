"""A stranger's experiment reads nothing of the machine it is run on, and no key is written down."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from medvista.app.config.composition import compose, to_yaml
from medvista.app.config.schema import ExperimentConfig
from medvista.errors import UserError


@pytest.mark.parametrize(
    "text",
    [
        "${oc.env:SECRET}",
        "sk-${oc.env:SECRET}",
        "${oc.env:SECRET,nothing}",
        "${ oc.env : SECRET }",
        "${oc.${experiment}:SECRET}",
        "${${experiment}:SECRET}",
        "${oc.decode:${oc.env:SECRET}}",
        "${seed} ${oc.env:SECRET}",
    ],
)
@pytest.mark.parametrize("place", ["description", "list", "mapping"])
def test_the_environment_cannot_be_read_from_a_file(
    text: str, place: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SECRET", "hunter2")
    places = {
        "description": {"description": text},
        "list": {"env": {"tools": ["zoom", text]}},
        "mapping": {"policy": {"endpoint": {"model": "m", "body": {"user": {"name": text}}}}},
    }
    (tmp_path / "theirs.yaml").write_text(yaml.safe_dump({"extends": "smoke", **places[place]}))
    with pytest.raises(UserError, match=r"theirs\.yaml: a configuration may refer to its own keys only") as raised:
        compose(ExperimentConfig, [f"experiment={tmp_path / 'theirs.yaml'}"])
    assert "hunter2" not in str(raised.value)


def test_nor_from_a_file_that_it_extends(tmp_path: Path) -> None:
    (tmp_path / "parent.yaml").write_text("extends: smoke\ndata: {benchmark: '${oc.env:HOME}'}\n")
    (tmp_path / "child.yaml").write_text("extends: parent\n")
    with pytest.raises(UserError, match=r"parent\.yaml"):
        compose(ExperimentConfig, [f"experiment={tmp_path / 'child.yaml'}"])


def test_a_key_of_the_configuration_may_still_be_referred_to(tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text("extends: smoke\nseed: 7\ndescription: seed ${seed}\n")
    config = compose(ExperimentConfig, [f"experiment={tmp_path / 'mine.yaml'}"])
    assert config.description == "seed 7"
    assert "seed 7" in to_yaml(config)
