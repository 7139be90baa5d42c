"""Messages over a socket between two processes of one machine; large arrays pass as shared memory."""

from __future__ import annotations

import pickle
import socket
import struct
import time
from collections.abc import Callable, Sequence

import numpy as np

from medvista.tools.executors.shared_arrays import ArrayForm, SharedArray

_HEADER = struct.Struct("!QII")  # bytes of the payload, bytes of the forms, number of arrays
_FDS_AT_ONCE = 64  # the kernel passes at most 253 in one go

Reader = Callable[[int, ArrayForm], np.ndarray]


class Channel:
    """One end of a connection. A message is bytes and arrays.

    Args:
        connection: a Unix stream socket.
    """

    def __init__(self, connection: socket.socket) -> None:
        self._socket = connection

    def send(self, payload: bytes, arrays: Sequence[SharedArray] = (), timeout_s: float | None = None) -> None:
        """Send a message.

        Raises:
            TimeoutError: the other side did not read it in time.
            OSError: the other side is gone.
        """
        deadline = _deadline(timeout_s)
        forms = pickle.dumps([array.form for array in arrays])
        header = _HEADER.pack(len(payload), len(forms), len(arrays))
        self._send_all(header + forms, deadline)
        for start in range(0, len(arrays), _FDS_AT_ONCE):
            self._socket.settimeout(_left(deadline))
            socket.send_fds(self._socket, [b"+"], [array.fd for array in arrays[start : start + _FDS_AT_ONCE]])
        self._send_all(payload, deadline)

    def receive(self, read: Reader, timeout_s: float | None = None) -> tuple[bytes, list[np.ndarray]]:
        """Wait for a message.

        Args:
            read: what makes an array of a descriptor: `map_array` or `read_array`.
            timeout_s: seconds until the whole message has to be there.

        Raises:
            TimeoutError: it is not.
            EOFError: the other side is gone.
            OSError: likewise.
        """
        deadline = _deadline(timeout_s)
        length, forms_length, count = _HEADER.unpack(self._receive_all(_HEADER.size, deadline))
        forms = pickle.loads(self._receive_all(forms_length, deadline))  # nosec B301 - of our own worker
        fds: list[int] = []
        while len(fds) < count:
            self._socket.settimeout(_left(deadline))
            mark, more, _, _ = socket.recv_fds(self._socket, 1, min(_FDS_AT_ONCE, count - len(fds)))
            if not mark:
                raise EOFError
            fds += more
        arrays = [read(fd, form) for fd, form in zip(fds, forms, strict=True)]
        return bytes(self._receive_all(length, deadline)), arrays

    @property
    def open(self) -> bool:
        """False when the other side is gone and has left nothing to read."""
        self._socket.settimeout(0)
        try:
            return bool(self._socket.recv(1, socket.MSG_PEEK))
        except BlockingIOError:
            return True
        except OSError:
            return False

    def close(self) -> None:
        """End the connection."""
        self._socket.close()

    def _send_all(self, data: bytes, deadline: float | None) -> None:
        self._socket.settimeout(_left(deadline))
        self._socket.sendall(data)

    def _receive_all(self, length: int, deadline: float | None) -> bytearray:
        data = bytearray(length)
        rest = memoryview(data)
        while rest:
            self._socket.settimeout(_left(deadline))
            count = self._socket.recv_into(rest)
            if count == 0:
                raise EOFError
            rest = rest[count:]
        return data


def _deadline(timeout_s: float | None) -> float | None:
    return None if timeout_s is None else time.monotonic() + timeout_s


def _left(deadline: float | None) -> float | None:
    return None if deadline is None else max(deadline - time.monotonic(), 1e-6)  # 0 would mean not to wait at all
