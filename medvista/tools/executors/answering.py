"""What a worker does with the requests it is sent: one reply per request, whatever happens."""

from __future__ import annotations

import logging
import traceback
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from medvista.tools.base import Tool
from medvista.tools.capabilities import BatchedTool, LoadedTool, ToolRequest
from medvista.tools.executors import failures
from medvista.tools.executors.base import CallError
from medvista.tools.executors.packing import pack
from medvista.tools.schema import ArgumentError
from medvista.types import ToolErrorType

log = logging.getLogger(__name__)

_NO_MEMORY = ("not enough memory", "out of memory", "can't allocate memory")  # as torch says it, in a RuntimeError


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """What came of one request."""

    value: Any = None
    failure: ToolErrorType | None = None  # None: the tool returned `value`
    message: str = ""  # of the failure
    trace: str = ""  # where the tool raised, for the log


def load(tool: Tool) -> None:
    """Let the tool read its weights, where it has some."""
    function: object = tool.function
    if isinstance(function, LoadedTool):
        function.load()


def answer(tool: Tool, requests: Sequence[ToolRequest]) -> list[Reply]:
    """One reply per request, in order; one that fails does not touch the others."""
    function: object = tool.function
    if len(requests) > 1 and isinstance(function, BatchedTool):
        try:
            values = list(function.call_batch(requests))
            if len(values) == len(requests):
                return [_failed(tool, v) if isinstance(v, BaseException) else Reply(value=v) for v in values]
            log.warning("tool %s gave %d results for %d requests", tool.name, len(values), len(requests))
        except Exception:
            log.warning("tool %s raised on a batch; its requests are run one by one", tool.name, exc_info=True)
    return [_answer_one(tool, request) for request in requests]


def pack_replies(tool: Tool, replies: Sequence[Reply]) -> tuple[bytes, list[Any]]:
    """The replies packed; those that cannot travel as failures."""
    try:
        return pack(list(replies))
    except Exception:
        return pack([_packable(tool, reply) for reply in replies])


def _answer_one(tool: Tool, request: ToolRequest) -> Reply:
    try:
        return Reply(value=tool(request.images, **request.arguments))
    except BaseException as error:  # also what a library of another language raises
        return _failed(tool, error)


def _failed(tool: Tool, error: BaseException) -> Reply:
    if isinstance(error, ArgumentError):
        return Reply(failure=ToolErrorType.INVALID_ARGUMENTS, message=failures.words(error))
    if isinstance(error, MemoryError) or any(sign in failures.words(error) for sign in _NO_MEMORY):
        return _reply(failures.out_of_memory(tool))
    return _reply(failures.raised(tool, error), trace="".join(traceback.format_exception(error)))


def _reply(failure: CallError, trace: str = "") -> Reply:
    return Reply(failure=failure.kind, message=failure.message, trace=trace)


def could_not_load(error: BaseException) -> Reply:
    """The reply of a worker that cannot serve its tool."""
    trace = "".join(traceback.format_exception(error))
    return Reply(failure=ToolErrorType.UNAVAILABLE, message=failures.loading_raised(error), trace=trace)


def _packable(tool: Tool, reply: Reply) -> Reply:
    try:
        pack(reply)
    except MemoryError as error:
        return _failed(tool, error)
    except Exception as error:
        return _reply(failures.result_not_sendable(tool, reply.value, error))
    return reply
