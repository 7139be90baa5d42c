"""What a configuration says about tools is what runs them."""

from __future__ import annotations

import json

import pytest

from medvista.app.commands.run import main
from medvista.app.config.composition import compose
from medvista.app.config.env_schema import EnvConfig
from medvista.app.config.schema import ExperimentConfig
from medvista.app.toolboxes import find_tools, make_toolbox, step_threads
from medvista.errors import UserError
from medvista.settings import ToolLimits
from medvista.tools import window, zoom
from medvista.tools.executors import ThreadExecutor
from medvista.tools.executors.processes import ProcessExecutor


def env(*overrides):
    return compose(ExperimentConfig, ["experiment=smoke", *overrides]).env


def test_by_default_tools_run_in_line_without_a_cache():
    toolbox = make_toolbox(env(), [zoom, window])
    assert type(toolbox.executor) is ThreadExecutor
    assert toolbox.executor.limits == ToolLimits()
    assert toolbox.cache is None
    assert env().workers is None  # in line as long as they are quick


def test_limits_go_to_the_executor_in_general_and_by_tool():
    configured = env(
        "env.tools_executor=processes",
        "env.tools_timeout_s=5",
        "env.tools_memory_mb=800",
        "env.tools_cache_mb=64",
        "env.tools_limits.zoom.timeout_s=0.5",
        "env.tools_limits.zoom.concurrency=2",
    )
    toolbox = make_toolbox(configured, [zoom, window])
    assert type(toolbox.executor) is ProcessExecutor
    assert toolbox.executor.limits_of(window) == ToolLimits(timeout_s=5, memory_mb=800)
    assert toolbox.executor.limits_of(zoom) == ToolLimits(timeout_s=0.5, memory_mb=800, concurrency=2)
    assert toolbox.cache.max_bytes == 64 * 2**20
    toolbox.close()


@pytest.mark.parametrize(
    ("overrides", "said"),
    [
        (["env.tools_limits.zom.timeout_s=5"], "names 'zom', which is not among the tools: zoom, window"),
        (["env.tools_timeout_s=-1"], "env.tools_timeout_s` on the command line must be above 0, not -1"),
        (["env.tools_concurrency=0"], "env.tools_concurrency` on the command line must be above 0, not 0"),
        (["env.tools_memory_mb=100"], "needs the executor 'processes' or 'ray'"),
    ],
)
def test_what_makes_no_sense_is_told_in_a_sentence(overrides, said):
    with pytest.raises(UserError, match=said):
        make_toolbox(env(*overrides), [zoom, window])


@pytest.mark.slow
def test_a_run_with_tools_in_processes_leaves_their_metrics(tiny, tmp_path):
    run = tmp_path / "run"
    configured = ["env.tools_executor=processes", "env.tools_cache_mb=16", "arms=[sft]", f"output_dir={run}"]
    assert main([*tiny, *configured]) == 0
    tools = json.loads((run / "results.json").read_text())["tools"]
    assert tools["zoom"]["calls"] > 0
    assert {"errors", "p50_ms", "p95_ms", "batch_size", "cache_hits"} <= tools["zoom"].keys()


def test_tools_that_are_known_to_be_quick_run_in_line_and_others_by_the_clock() -> None:
    quick = EnvConfig(tools=["zoom", "window"])
    assert step_threads(quick, find_tools(quick)) == 0

    for clocked in (
        EnvConfig(tools=["zoom", "enhance"]),
        EnvConfig(tools=["zoom"], tools_timeout_s=5.0),
        EnvConfig(tools=["zoom"], tools_executor="processes"),
    ):
        assert step_threads(clocked, find_tools(clocked)) is None
    assert step_threads(EnvConfig(tools=["enhance"], workers=4), []) == 4
