"""One connection to a Model Context Protocol server, from its opening to its end.

The SDK is asynchronous: connections live on one event loop, in a thread of its own, and are used from any thread. The
package mcp is imported when the first one is opened.
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

from medvista.integrations.mcp_listing import MessagesLetThrough
from medvista.settings import MCPServerConfig

if TYPE_CHECKING:
    from mcp import Client

Result = TypeVar("Result")

_CLOSING_S = 8.0  # the SDK asks a program to end, then ends it, then kills it: 2 s each
_MOST_EVENT_BYTES = 64 * 2**20  # of one event of a stream: an image has to fit in


class Link:
    """One connection from its opening to its end, in a task of its own: the SDK wants both in the same task."""

    def __init__(self, config: MCPServerConfig) -> None:
        self.config = config
        self._open = False
        self._process = os.getpid()
        self._client: Future[Client] = Future()
        self._ended: Future[None] = Future()
        self._stop: asyncio.Event | None = None
        self._users = 0
        self._retired = False
        self._lock = threading.Lock()
        # What a program writes there would disturb our own output, and says why it ended. "a": reading moves nothing.
        self._stderr = tempfile.TemporaryFile("a+", encoding="utf-8", errors="replace")  # noqa: SIM115 - lives as long

    @property
    def alive(self) -> bool:
        """True while it can be used; a fork cannot use its parent's."""
        return self._open and self._process == os.getpid()

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
                self._open = True
                _links.add(self)
                self._client.set_result(client)
                await self._stop.wait()
        except BaseException as error:
            if not self._client.done():
                self._client.set_exception(_cause(error))
        finally:
            self._open = False
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

    def taken(self) -> Link:
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
            self.end()

    def retire(self) -> None:
        """End as soon as nobody uses it."""
        with self._lock:
            self._retired = True
            over = self._users == 0
        if over:
            self.end()

    def end(self) -> None:
        """End now, whoever uses it."""
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
        transport = _let_through(stdio_client(program, errlog=cast(TextIO, stderr)))
        async with Client(transport, cache=None) as client:
            yield client
        return
    token = os.environ.get(config.token_env, "") if config.token_env else ""
    headers = {"Authorization": f"Bearer {token.strip()}"} if token else None
    # No limit on reading: a server may hold a stream open, and each call has a limit of its own.
    async with httpx2.AsyncClient(headers=headers, timeout=httpx2.Timeout(config.start_timeout_s, read=None)) as http:
        transport = streamable_http_client(config.url, http_client=http, max_sse_event_size=_MOST_EVENT_BYTES)
        async with Client(_let_through(transport), cache=None) as client:
            yield client


@contextlib.asynccontextmanager
async def _let_through(transport: Any) -> AsyncIterator[Any]:
    """A transport whose lists of tools the SDK does not refuse."""
    async with transport as (messages, sender):
        yield MessagesLetThrough(messages), sender


def _cause(error: BaseException) -> BaseException:
    """The first error in the groups that structured concurrency wraps it in."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error


# ------------------------------------------------------------------------------------------------------ the event loop

_links: set[Link] = set()  # those open
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
        link.end()
    for link in open_links:
        link.wait_closed()
