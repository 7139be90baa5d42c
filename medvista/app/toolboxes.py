"""What runs the tools of a run, as the configuration asks for it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields, is_dataclass
from typing import Any

from medvista.app.config.env_schema import EnvConfig
from medvista.errors import UserError
from medvista.settings import ToolLimits
from medvista.tools import Tool, Toolbox, find_tool
from medvista.tools.executors import Executor, make_executor
from medvista.tools.result_cache import ResultCache


def find_tools(env: EnvConfig) -> list[Tool]:
    """The registered tools of the configuration, those with weights or a corpus as their section sets them up.

    Raises:
        UserError: a tool is unknown or absent; the message says what to install.
    """
    return [find_tool(name, **_changed(getattr(env, name, None))) for name in env.tools]


def make_toolbox(env: EnvConfig, tools: Sequence[Tool]) -> Toolbox:
    """A toolbox with the executor, the limits and the cache of the configuration.

    Raises:
        UserError: a limit makes no sense, names a tool that is not there, or the executor cannot be had here.
    """
    names = [tool.name for tool in tools]
    for name in env.tools_limits:
        if name not in names:
            raise UserError(f"env.tools_limits names {name!r}, which is not among the tools: {', '.join(names)}.")
    executor = _executor(env)
    _check_pythons(env, tools)
    return Toolbox(
        tools,
        executor=executor,
        cache=ResultCache(env.tools_cache_mb * 2**20) if env.tools_cache_mb else None,
    )


def step_threads(env: EnvConfig, tools: Sequence[Tool]) -> int | None:
    """Threads that step episodes: 0 for in line, None where the clock is to say which steps are slow.

    Tools that are known to be quick run in line: the clock, which says other things on a busy machine, then has no say
    in which episodes share a batch.
    """
    if env.workers is not None:
        return env.workers
    timeouts = (env.tools_timeout_s, *(limits.timeout_s for limits in env.tools_limits.values()))
    in_this_thread = env.tools_executor == "threads" and all(timeout is None for timeout in timeouts)
    return 0 if in_this_thread and all(tool.quick for tool in tools) else None


def _changed(settings: Any) -> dict[str, Any]:
    """The settings of a tool that differ from their defaults; a tool without a section has none."""
    if not is_dataclass(settings):
        return {}
    pairs = ((one.name, getattr(settings, one.name), one.default) for one in fields(settings))
    return {name: value for name, value, default in pairs if value != default}


def _check_pythons(env: EnvConfig, tools: Sequence[Tool]) -> None:
    """Whether the interpreters that tools are to have can run them."""
    chosen = {name: limits.python for name, limits in env.tools_limits.items() if limits.python is not None}
    if not chosen:
        return
    from medvista.tools.executors.other_python import check_python

    for tool in tools:
        if tool.name in chosen:
            check_python(tool, chosen[tool.name])


def _executor(env: EnvConfig) -> Executor:
    limits = ToolLimits(timeout_s=env.tools_timeout_s, concurrency=env.tools_concurrency, memory_mb=env.tools_memory_mb)
    return make_executor(env.tools_executor, limits, env.tools_limits, ray_address=env.tools_ray_address)
