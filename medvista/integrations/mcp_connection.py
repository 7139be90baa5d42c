"""A connection to a Model Context Protocol server that is made when needed, and made anew when it broke.

Needs the package mcp (extra ``mcp``), which is imported here when the first connection is made. The SDK is
asynchronous: its connections live on one event loop, in a thread of its own, and calls come from any thread.
"""

from __future__ import annotations

import asyncio
import atexit
import contextlib
import os
import tempfile
import threading
from collections.abc import AsyncIterator, Coroutine
from concurrent.futures import Future
from concurrent.futures import TimeoutError as NoResultInTime
from typing import IO, TYPE_CHECKING, Any, TextIO, TypeVar, cast

from medvista.errors import UserError
from medvista.settings import MCPServerConfig
from medvista.types import ToolErrorType

if TYPE_CHECKING:
    from mcp import Client
    from mcp.types import CallToolResult
    from mcp.types import Tool as ListedTool

Result = TypeVar("Result")

_GRACE_S = 2.0  # beyond the SDK's own timeout, before a call is given up from outside
_CLOSING_S = 8.0  # the SDK asks a program to end, then ends it, then kills it: 2 s each
_MOST_PAGES = 100  # of a list of tools, so that a server cannot keep us listing
_MOST_EVENT_BYTES = 64 * 2**20  # of one event of a stream: an image has to fit in


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
        self._link: _Link | None = None

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
        """End the connection and, where it was started here, the program; a later call starts it anew."""
        with self._lock:
            link, self._link = self._link, None
        if link is not None:
            link.retire()
            link.wait_closed()

    def _with_link(self, work: Any, seconds: float) -> Any:
        link = self._take()
        try:
            return link.run(work(link.client), seconds + _GRACE_S)
        except Exception as error:
            raise self._explained(error, link, seconds) from None
        finally:
            link.give_back()

    def _take(self) -> _Link:
        """The connection, made now if there is none or the last one broke."""
        with self._lock:
            if self._link is None or not self._link.alive:
                self._link = None
                link = _Link(self.config)
                try:
                    link.open()
                except Exception as error:
                    raise CallFailedError(ToolErrorType.FAILED, self._unreachable(error, link)) from None
                self._link = link
            return self._link.taken()

    def _drop(self, link: _Link) -> None:
        with self._lock:
            if self._link is link:
                self._link = None
        link.retire()

    def _explained(self, error: Exception, link: _Link, seconds: float) -> CallFailedError:
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
        self._drop(link)
        said = link.last_words() or _first_line(error)
        message = f"the server {self.name!r} is gone ({said}); call again to restart it"
        return CallFailedError(ToolErrorType.FAILED, message)

    def _unreachable(self, error: BaseException, link: _Link) -> str:
        doing = "started" if self.config.url is None else "reached"
        if isinstance(error, TimeoutError | NoResultInTime):
            return f"the server {self.name!r} was not {doing} within {self.config.start_timeout_s:g} s"
        return f"the server {self.name!r} cannot be {doing} ({link.last_words() or _first_line(error)})"


class _Link:
    """One connection from its opening to its end, in a task of its own: the SDK wants both in the same task."""

    def __init__(self, config: MCPServerConfig) -> None:
        self.config = config
        self.alive = False
        self._client: Future[Client] = Future()
        self._ended: Future[None] = Future()
        self._stop: asyncio.Event | None = None
        self._users = 0
        self._retired = False
        self._lock = threading.Lock()
        # What a program writes there would disturb our own output, and says why it ended.
        self._stderr = tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace")  # noqa: SIM115 - lives as long

    @property
    def client(self) -> Client:
        """The SDK's client, once open."""
        return self._client.result()

    def open(self) -> None:
        """Connect, and wait until that is done."""
        self._task = asyncio.run_coroutine_threadsafe(self._live(), _loop())
        try:
            self._client.result(self.config.start_timeout_s)
        except BaseException:
            self._task.cancel()
            raise

    async def _live(self) -> None:
        self._stop = asyncio.Event()
        try:
            async with _client(self.config, self._stderr) as client:
                self.alive = True
                _links.add(self)
                self._client.set_result(client)
                await self._stop.wait()
        except BaseException as error:
            if not self._client.done():
                self._client.set_exception(_cause(error))
        finally:
            self.alive = False
            _links.discard(self)
            self._ended.set_result(None)

    def run(self, work: Coroutine[Any, Any, Result], seconds: float) -> Result:
        """The result of some work on the loop; cancelled when it takes longer."""
        future = asyncio.run_coroutine_threadsafe(work, _loop())
        try:
            return future.result(seconds)
        except BaseException:
            future.cancel()
            raise

    def taken(self) -> _Link:
        """This, with one user more."""
        with self._lock:
            self._users += 1
        return self

    def give_back(self) -> None:
        """One user less; the last one of a retired link ends it."""
        with self._lock:
            self._users -= 1
            over = self._retired and self._users == 0
        if over:
            self._end()

    def retire(self) -> None:
        """End as soon as nobody uses it."""
        with self._lock:
            self._retired = True
            over = self._users == 0
        if over:
            self._end()

    def _end(self) -> None:
        if self._stop is not None and not self._ended.done():
            _loop().call_soon_threadsafe(self._stop.set)

    def wait_closed(self) -> None:
        """Wait until the program has ended, so long as that can take."""
        with contextlib.suppress(NoResultInTime):
            self._ended.result(_CLOSING_S)

    def last_words(self) -> str:
        """The last line that a program wrote to its standard error: most often why it ended."""
        if self.config.url is not None:
            return ""
        self._stderr.seek(0)
        lines = [line.strip() for line in self._stderr.read()[-4000:].splitlines() if line.strip()]
        return lines[-1][:300] if lines else ""


@contextlib.asynccontextmanager
async def _client(config: MCPServerConfig, stderr: IO[str]) -> AsyncIterator[Client]:
    """The SDK's client, connected."""
    import httpx2
    from mcp import Client, StdioServerParameters, stdio_client
    from mcp.client.streamable_http import streamable_http_client

    if config.url is None:
        assert config.command is not None
        seen = {name: os.environ[name] for name in config.pass_env if name in os.environ}
        program = StdioServerParameters(command=config.command, args=list(config.args), env=seen, cwd=config.cwd)
        async with Client(stdio_client(program, errlog=cast(TextIO, stderr)), cache=None) as client:
            yield client
        return
    token = os.environ.get(config.token_env, "") if config.token_env else ""
    headers = {"Authorization": f"Bearer {token.strip()}"} if token else None
    # No limit on reading: a server may hold a stream open, and each call has a limit of its own.
    async with httpx2.AsyncClient(headers=headers, timeout=httpx2.Timeout(config.start_timeout_s, read=None)) as http:
        transport = streamable_http_client(config.url, http_client=http, max_sse_event_size=_MOST_EVENT_BYTES)
        async with Client(transport, cache=None) as client:
            yield client


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


def _cause(error: BaseException) -> BaseException:
    """The first error in the groups that structured concurrency wraps it in."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error


def _first_line(error: BaseException) -> str:
    text = str(error).strip()
    return text.splitlines()[0][:300] if text else type(error).__name__


# ------------------------------------------------------------------------------------------------------ the event loop

_links: set[_Link] = set()  # those open
_loops: dict[int, asyncio.AbstractEventLoop] = {}  # by process: a fork takes the memory along, but not the thread
_loops_lock = threading.Lock()


def _loop() -> asyncio.AbstractEventLoop:
    """The event loop of this process, running."""
    with _loops_lock:
        if os.getpid() not in _loops:
            loop = asyncio.new_event_loop()
            threading.Thread(target=loop.run_forever, name="mcp", daemon=True).start()
            _loops[os.getpid()] = loop
        return _loops[os.getpid()]


@atexit.register
def _close_all() -> None:
    """Programs that were started are ended with the process that started them."""
    open_links = [link for link in _links if os.getpid() in _loops]
    for link in open_links:
        link._end()
    for link in open_links:
        link.wait_closed()
