"""What a tool may offer beside being called: weights to load, several calls in one pass, a process of its own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

from medvista.types import MedicalImage, ToolResult


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ToolRequest:
    """One call of a tool, its arguments already checked."""

    images: Sequence[MedicalImage]  # all images of the episode at native resolution
    arguments: Mapping[str, Any]


@runtime_checkable
class LoadedTool(Protocol):
    """A tool that has to read something large, such as weights, before it can answer."""

    def load(self) -> None:
        """Read it. Executors with workers call this once in each, before its first call and outside its timeout.

        Called a second time it does nothing, so that a plain call may call it, too.
        """


@runtime_checkable
class HostedTool(Protocol):
    """A tool that already runs in a process of its own, such as an MCP server's: executors call it from this one."""

    hosted: bool


@runtime_checkable
class BatchedTool(Protocol):
    """A tool that answers several calls at once; the executors ``processes`` and ``ray`` batch what arrives together.

    ``function`` of a `Tool` implements it beside ``__call__``, which answers one call.
    """

    max_batch: int  # calls in one batch, at most
    max_wait_ms: float  # how long a call waits for others to join it

    def call_batch(self, requests: Sequence[ToolRequest]) -> Sequence[ToolResult | Exception]:
        """One result per request, in order; an exception in its place fails that request alone.

        Raising fails none: every request of the batch is then run alone, through ``__call__``.
        """
