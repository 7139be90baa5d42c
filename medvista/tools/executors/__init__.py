"""What runs the calls of tools: threads of this process, processes that can be killed, or Ray actors.

`ProcessExecutor` and `RayExecutor` stand in modules of their own, `processes` and `ray_actors`.
"""

from medvista.tools.executors.base import CallError, Execution, Executor
from medvista.tools.executors.by_name import ExecutorName, make_executor
from medvista.tools.executors.threads import ThreadExecutor

__all__ = ["CallError", "Execution", "Executor", "ExecutorName", "ThreadExecutor", "make_executor"]
