"""Executors by the name a configuration gives them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, TypeAlias

from medvista.settings import ToolLimits
from medvista.tools.executors.base import Executor

ExecutorName: TypeAlias = Literal["threads", "processes", "ray"]


def make_executor(
    name: ExecutorName, limits: ToolLimits | None = None, per_tool: Mapping[str, ToolLimits] | None = None
) -> Executor:
    """The executor of that name; only its own module is imported.

    Raises:
        UserError: it cannot be had here, or a limit makes no sense.
    """
    if name == "processes":
        from medvista.tools.executors.processes import ProcessExecutor

        return ProcessExecutor(limits, per_tool)
    if name == "ray":
        from medvista.tools.executors.ray_actors import RayExecutor

        return RayExecutor(limits, per_tool)
    from medvista.tools.executors.threads import ThreadExecutor

    return ThreadExecutor(limits, per_tool)
