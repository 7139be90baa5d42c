"""What the model reads where a call came to nothing: each sentence once, whatever runs the calls."""

from __future__ import annotations

from medvista.tools.base import Tool
from medvista.tools.executors.base import CallError
from medvista.types import ToolErrorType

_LONGEST = 200  # characters of an exception's own words


def raised(tool: Tool, error: BaseException) -> CallError:
    """The tool, or what runs it, raised."""
    return CallError(ToolErrorType.FAILED, f"{tool.name} failed: {_words(error)}")


def took_too_long(tool: Tool, seconds: float | None) -> CallError:
    """The call was not answered within its limit."""
    return CallError(ToolErrorType.TIMEOUT, f"{tool.name} took longer than {seconds:g} s.")


def out_of_memory(tool: Tool) -> CallError:
    """The tool wanted more memory than there is, or than it may have."""
    return CallError(ToolErrorType.OUT_OF_MEMORY, f"{tool.name} ran out of memory.")


def worker_ended(tool: Tool, how: object) -> CallError:
    """The call ended its worker."""
    return CallError(ToolErrorType.CRASHED, f"{tool.name} ended its process ({how}).")


def worker_ended_loading(tool: Tool, worker: str, how: str) -> CallError:
    """Loading the tool ended its worker, a "process" or an "actor"."""
    return CallError(ToolErrorType.CRASHED, f"{tool.name} ended its {worker} while loading ({how}).")


def not_loaded_in_time(tool: Tool, seconds: float) -> CallError:
    """The worker did not load the tool within its limit."""
    return CallError(ToolErrorType.UNAVAILABLE, f"{tool.name} was not loaded within {seconds:g} s.")


def not_loaded(tool: Tool, why: str) -> CallError:
    """The worker says why it could not load the tool; see `loading_raised`."""
    return CallError(ToolErrorType.UNAVAILABLE, f"{tool.name}: {why}")


def loading_raised(error: BaseException) -> str:
    """Said in the worker, where the tool may not even have a name yet."""
    return f"the tool could not be loaded: {_words(error)}"


def not_sendable(tool: Tool, error: BaseException) -> CallError:
    """The tool holds something that cannot leave this process."""
    return CallError(ToolErrorType.UNAVAILABLE, f"{tool.name} cannot be sent to a worker: {_words(error)}")


def result_not_sendable(tool: Tool, value: object, error: BaseException) -> CallError:
    """The tool returned something that cannot leave its worker."""
    kind, why = type(value).__name__, type(error).__name__
    return CallError(ToolErrorType.FAILED, f"{tool.name} returned a {kind} that cannot leave its process: {why}.")


def switched_off(tool: Tool, calls: int) -> CallError:
    """All threads of the tool are taken by calls that were abandoned and have not ended."""
    message = f"{tool.name} is switched off: {calls} of its calls ran out of time and have not ended yet."
    return CallError(ToolErrorType.UNAVAILABLE, message)


def left_alone(tool: Tool, failures: int) -> CallError:
    """Calls of the tool have failed one after the other; it is tried again later."""
    message = f"{tool.name} is out of order: its last {failures} calls failed, and it is left alone for a while."
    return CallError(ToolErrorType.UNAVAILABLE, message)


def closed(tool: Tool) -> CallError:
    """The executor was closed."""
    return CallError(ToolErrorType.UNAVAILABLE, f"{tool.name} is not run any more: its executor was closed.")


def words(error: BaseException) -> str:
    """What an exception says of itself; nothing where saying it raises."""
    try:
        return str(error)
    except Exception:
        return ""


def _words(error: BaseException) -> str:
    return f"{type(error).__name__}: {words(error)[:_LONGEST]}"
