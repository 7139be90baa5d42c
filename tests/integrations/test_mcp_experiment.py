"""An experiment names servers; their tools are among those of its arms."""

import sys
from pathlib import Path

import pytest

pytest.importorskip("mcp")

from medvista.app.config.composition import compose
from medvista.app.config.schema import ExperimentConfig
from medvista.app.players import Players
from medvista.app.questions import Questions
from medvista.errors import UserError

ODD_SERVER = Path(__file__).with_name("odd_server.py")


def players(*overrides):
    config = compose(ExperimentConfig, ["experiment=smoke", *overrides])
    return Players(config, Questions(config))


def test_tools_of_a_named_server_join_those_of_the_experiment():
    made = players(
        f"env.mcp_servers.odd.command={sys.executable}",
        f"env.mcp_servers.odd.args=[{ODD_SERVER}]",
        "env.mcp_servers.odd.tools=[invert,add]",
        "env.mcp_servers.odd.images={picture: base64}",
        "env.mcp_servers.odd.start_timeout_s=120",
    )
    assert made.toolbox("tools").names == ("zoom", "window", "add", "invert")
    assert made.toolbox("random").names == made.toolbox("tools").names
    assert made.toolbox("none").names == ()
    made.tools[-1].function.remote.close()


def test_a_server_that_cannot_be_started_is_said_before_anything_is_spent():
    with pytest.raises(UserError, match="the server 'odd' cannot be started"):
        players("env.mcp_servers.odd.command=no-such-program").toolbox("tools")
