"""One request to an endpoint, bounded as a whole: in time, also where bytes drip, and in what its reply unfolds to.

httpx knows a timeout for each read only, and unpacks whatever comes: three megabytes may become nine gigabytes.
"""

from __future__ import annotations

import threading
import time
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import httpx2

MAX_REPLY_BYTES = 32 * 2**20  # the longest answer of a model, its log-probabilities included, is a hundredth of this

_EITHER_HEADER = 32 + zlib.MAX_WBITS  # gzip's or zlib's
_OF_THE_TRANSFER = ("content-encoding", "content-length", "transfer-encoding")
_request = threading.local()  # its deadline, in the thread that makes it


def bounded(client: httpx2.Client) -> httpx2.Client:
    """The client, whose connections from now on keep to the deadline of a request that `post` makes."""
    for transport in (client._transport, *client._mounts.values()):
        pool = getattr(transport, "_pool", None)  # a transport that is none of HTTP, as of a test, has none
        if pool is not None:
            pool._network_backend = _Backend(pool._network_backend)
    return client


def post(client: httpx2.Client, url: str, body: Any, timeout_s: float) -> httpx2.Response:
    """Posts JSON, and reads the whole reply.

    Raises:
        httpx2.HTTPError: the connection failed, it took longer than `timeout_s` in all, or the reply is too large or
            packed in an unknown way.
    """
    import httpx2

    with _within(timeout_s), client.stream("POST", url, json=body, headers={"Accept-Encoding": "gzip"}) as response:
        content = b"".join(_unpacked(response))
    headers = [(name, value) for name, value in response.headers.items() if name.lower() not in _OF_THE_TRANSFER]
    return httpx2.Response(response.status_code, headers=headers, content=content, request=response.request)


def _unpacked(response: httpx2.Response) -> Iterator[bytes]:
    import httpx2

    packing = response.headers.get("content-encoding", "identity").strip().lower()
    if packing not in ("identity", "", "gzip", "x-gzip", "deflate"):
        raise httpx2.DecodingError(f"a reply packed as {packing[:20]!r}, which was not asked for")
    unpack = zlib.decompressobj(_EITHER_HEADER) if packing not in ("identity", "") else None
    size = 0
    for data in response.iter_raw():
        try:
            part = data if unpack is None else unpack.decompress(data, MAX_REPLY_BYTES + 1 - size)
        except zlib.error as error:
            raise httpx2.DecodingError(f"a reply that cannot be unpacked ({error})") from None
        size += len(part)
        if size > MAX_REPLY_BYTES:
            raise httpx2.DecodingError(f"a reply of more than {MAX_REPLY_BYTES // 2**20} MiB")
        yield part


@contextmanager
def _within(seconds: float) -> Iterator[None]:
    _request.deadline = time.monotonic() + seconds
    try:
        yield
    finally:
        del _request.deadline


def _left(timeout: float | None) -> float | None:
    """Seconds that a read or write may take."""
    deadline = getattr(_request, "deadline", None)
    if deadline is None:
        return timeout
    left = deadline - time.monotonic()
    return max(left if timeout is None else min(left, timeout), 1e-3)  # too little for anything: it times out


class _Backend:
    """What opens connections, each of which keeps to the deadline."""

    def __init__(self, backend: Any) -> None:
        self._backend = backend

    def __getattr__(self, name: str) -> Any:
        return getattr(self._backend, name)

    def connect_tcp(self, *arguments: Any, **options: Any) -> Any:
        """See httpcore."""
        return _Stream(self._backend.connect_tcp(*arguments, **options | {"timeout": _left(options.get("timeout"))}))


class _Stream:
    """A connection."""

    def __init__(self, stream: Any) -> None:
        self._stream = stream

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        """See httpcore; a drip of bytes is cut off where the deadline has passed."""
        if (left := _left(timeout)) is not None and left <= 1e-3:
            from httpcore2 import ReadTimeout

            raise ReadTimeout("the request took longer than it may")
        data: bytes = self._stream.read(max_bytes, left)
        return data

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        """See httpcore."""
        self._stream.write(buffer, _left(timeout))

    def start_tls(self, *arguments: Any, **options: Any) -> Any:
        """See httpcore."""
        return _Stream(self._stream.start_tls(*arguments, **options | {"timeout": _left(options.get("timeout"))}))
