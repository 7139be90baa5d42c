"""Executors by the name a configuration gives them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, TypeAlias

from medvista.settings import ToolLimits
from medvista.tools.executors.base import Executor

ExecutorName: TypeAlias = Literal["threads", "processes", "ray"]


def make_executor(
    name: ExecutorName,
    limits: ToolLimits | None = None,
    per_tool: Mapping[str, ToolLimits] | None = None,
    *,
    ray_address: str | None = None,
) -> Executor:
    """The executor of that name; only its own module is imported.

    Args:
        name: of the executor.
        limits: of every tool.
        per_tool: of single tools.
        ray_address: of the cluster that "ray" joins; None starts Ray on this machine.

    Raises:
        UserError: it cannot be had here, or a limit makes no sense.
    """
    if name == "processes":
        from medvista.tools.executors.processes import ProcessExecutor

        return ProcessExecutor(limits, per_tool)
    if name == "ray":
        from medvista.tools.executors.ray_actors import RayExecutor

        return RayExecutor(limits, per_tool, init=None if ray_address is None else {"address": ray_address})
    from medvista.tools.executors.threads import ThreadExecutor

    return ThreadExecutor(limits, per_tool)
