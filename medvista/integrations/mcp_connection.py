"""The connection to a Model Context Protocol server: made when needed, and made again when it broke."""

from __future__ import annotations

import threading
from collections.abc import Callable, Coroutine
from concurrent.futures import TimeoutError as NoResultInTime
from typing import TYPE_CHECKING, Any, TypeVar

from medvista.errors import UserError
from medvista.integrations.mcp_link import Link
from medvista.settings import MCPServerConfig
from medvista.types import ToolErrorType

if TYPE_CHECKING:
    from mcp import Client
    from mcp.types import CallToolResult
    from mcp.types import Tool as ListedTool

Result = TypeVar("Result")

_GRACE_S = 2.0  # beyond the SDK's own timeout, before a call is given up from outside
_MOST_PAGES = 100  # of a list of tools, so that a server cannot keep us listing


class CallFailedError(Exception):
    """A call without result; `kind` and the message are what the model is told."""

    def __init__(self, kind: ToolErrorType, message: str) -> None:
        super().__init__(message)
        self.kind = kind


class MCPConnection:
    """The tools of one server, called from any thread.

    A program is started, or a URL reached, at the first call. When a call finds the connection broken, or runs out of
    time, it fails, and the next call gets a new connection: a program that hangs is ended as soon as the other calls
    that it still works on are done. A copy in another process makes a connection of its own.

    Args:
        name: of the server, in messages.
        config: how it is started or reached.

    Raises:
        UserError: the configuration names neither a command nor a URL, or both, or mcp is not installed.
    """

    def __init__(self, name: str, config: MCPServerConfig) -> None:
        if (config.command is None) == (config.url is None):
            raise UserError(f"the MCP server {name!r} needs either a command, to start it, or a url, to reach it.")
        _require_sdk()
        self.name = name
        self.config = config
        self._lock = threading.Lock()
        self._link: Link | None = None

    def __reduce__(self) -> tuple[Any, ...]:
        return MCPConnection, (self.name, self.config)

    def list_tools(self) -> list[ListedTool]:
        """The tools that the server offers, all pages.

        Raises:
            UserError: the server cannot be started or reached, or does not list its tools in time.
        """
        try:
            return self._with_link(_list_tools, self.config.start_timeout_s)
        except CallFailedError as error:
            raise UserError(f"{error}; check the settings of the MCP server {self.name!r}.") from None

    def call(self, tool: str, arguments: dict[str, Any]) -> CallToolResult:
        """The result of a call, which may be an error of the tool.

        Raises:
            CallFailedError: no result came back.
        """
        seconds = self.config.timeout_s

        async def send(client: Client) -> CallToolResult:
            return await client.call_tool(tool, arguments, read_timeout_seconds=seconds)

        return self._with_link(send, seconds)

    def close(self) -> None:
        """End the connection and, where it was started here, the program; a later call starts it again."""
        with self._lock:
            link, self._link = self._link, None
        if link is not None:
            link.retire()
            link.wait_closed()

    def _with_link(self, work: Callable[[Client], Coroutine[Any, Any, Result]], seconds: float) -> Result:
        link = self._take()
        try:
            return link.run(work(link.client), seconds + _GRACE_S)
        except Exception as error:
            raise self._explained(error, link, seconds) from None
        finally:
            link.give_back()

    def _take(self) -> Link:
        """The connection, made now if there is none or the last one broke."""
        with self._lock:
            if self._link is None or not self._link.alive:
                self._link = None
                link = Link(self.config)
                try:
                    link.open()
                except Exception as error:
                    raise CallFailedError(ToolErrorType.UNAVAILABLE, self._unreachable(error, link)) from None
                self._link = link
            return self._link.taken()

    def _drop(self, link: Link) -> None:
        with self._lock:
            if self._link is link:
                self._link = None
        link.retire()

    def _explained(self, error: Exception, link: Link, seconds: float) -> CallFailedError:
        """What a failed call tells the model; a connection that may be broken is not used again."""
        from mcp import MCPError
        from mcp.types import CONNECTION_CLOSED, INVALID_PARAMS, REQUEST_TIMEOUT

        code = error.code if isinstance(error, MCPError) else None
        if code == REQUEST_TIMEOUT or isinstance(error, TimeoutError | NoResultInTime):
            self._drop(link)
            message = f"the server {self.name!r} gave no answer within {seconds:g} s"
            return CallFailedError(ToolErrorType.TIMEOUT, message)
        if code is not None and code != CONNECTION_CLOSED and link.alive:
            kind = ToolErrorType.INVALID_ARGUMENTS if code == INVALID_PARAMS else ToolErrorType.FAILED
            return CallFailedError(kind, f"the server {self.name!r} answers: {str(error)[:300]}")
        if (
            isinstance(error, RuntimeError | ValueError) and link.alive
        ):  # what the SDK says of results against the rules
            message = f"what the server {self.name!r} sent cannot be used ({' '.join(str(error).split())[:300]})"
            return CallFailedError(ToolErrorType.FAILED, message)
        self._drop(link)
        said = link.last_words() or _first_line(error)
        message = f"the server {self.name!r} is gone ({said}); call again to restart it"
        return CallFailedError(ToolErrorType.CRASHED, message)

    def _unreachable(self, error: BaseException, link: Link) -> str:
        doing = "started" if self.config.url is None else "reached"
        if isinstance(error, TimeoutError | NoResultInTime):
            return f"the server {self.name!r} was not {doing} within {self.config.start_timeout_s:g} s"
        return f"the server {self.name!r} cannot be {doing} ({link.last_words() or _first_line(error)})"


async def _list_tools(client: Client) -> list[ListedTool]:
    listed: list[ListedTool] = []
    cursor = None
    for _ in range(_MOST_PAGES):
        page = await client.list_tools(cursor=cursor)
        listed += page.tools
        cursor = page.next_cursor
        if cursor is None:
            break
    return listed


def _require_sdk() -> None:
    try:
        import mcp

        mcp.Client  # noqa: B018 - what version 1 lacks
    except (ModuleNotFoundError, AttributeError):
        raise UserError("tools of MCP servers need the package mcp, version 2: pip install 'medvista[mcp]'.") from None


def _first_line(error: BaseException) -> str:
    text = str(error).strip()
    return text.splitlines()[0][:300] if text else type(error).__name__
