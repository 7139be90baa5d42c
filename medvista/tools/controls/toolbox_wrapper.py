"""A toolbox that changes what another is asked, or what it answers."""

from __future__ import annotations

from medvista.tools.call_metrics import ToolMetrics
from medvista.tools.toolbox import Toolbox


class ToolboxWrapper(Toolbox):
    """Has the tools, executor and metrics of the toolbox within; a subclass overrides `run` and `for_episode`.

    Args:
        toolbox: runs the calls.
    """

    def __init__(self, toolbox: Toolbox) -> None:
        super().__init__(toolbox.tools, executor=toolbox.executor, cache=toolbox.cache)
        self._toolbox = toolbox

    def metrics(self) -> dict[str, ToolMetrics]:
        """The metrics of the toolbox within."""
        return self._toolbox.metrics()
