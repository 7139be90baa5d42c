"""The process of a worker: loads one tool, then answers requests until its parent is gone."""

from __future__ import annotations

import logging
import multiprocessing
import os
import signal
import socket
import threading
from collections.abc import Callable
from multiprocessing.connection import wait

import cloudpickle

from medvista.tools.executors.answering import answer, could_not_load, load, pack_replies
from medvista.tools.executors.channel import Channel
from medvista.tools.executors.descendants import adopt_orphans, kill_descendants
from medvista.tools.executors.memory import limit_memory
from medvista.tools.executors.packing import pack, unpack
from medvista.tools.executors.shared_arrays import SharedArray, map_array, read_array

READY = b"ready"


def serve(
    connection: socket.socket, memory_mb: int | None, wait_for_parents_end: Callable[[], object] | None = None
) -> None:
    """What the process runs.

    Args:
        connection: to the parent, which sends the tool first, and then requests.
        memory_mb: what may be allocated from here on.
        wait_for_parents_end: returns when the parent is gone; by default as multiprocessing knows of it.
    """
    wait_for_parent = wait_for_parents_end or _multiprocessing_parents_end
    os.setsid()  # so that what the tool starts can be killed with it, and Ctrl-C is the parent's business
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)  # the parent's handler was inherited with everything else
    adopt_orphans()
    threading.Thread(target=_end_with_parent, args=(wait_for_parent,), daemon=True).start()
    channel = Channel(connection)
    try:
        _serve(channel, memory_mb)
    except (EOFError, ConnectionError):
        pass  # the parent closed the connection: nobody wants an answer any more
    finally:
        logging.shutdown()
        os._exit(0)  # whatever threads the tool has left


def _serve(channel: Channel, memory_mb: int | None) -> None:
    data, _ = channel.receive(read_array)
    try:
        tool = cloudpickle.loads(data)  # imports what the tool needs; that is not counted
        limit_memory(memory_mb)
        load(tool)
    except (Exception, SystemExit) as error:
        channel.send(pack(could_not_load(error))[0])
        return
    channel.send(READY)
    while True:
        data, arrays = channel.receive(map_array)
        replies = answer(tool, unpack(data, arrays))
        del arrays  # the mapped images go with the requests
        payload, found = pack_replies(tool, replies)
        channel.send(payload, [SharedArray(array) for array in found])


def _end_with_parent(wait_for_parents_end: Callable[[], object]) -> None:
    """Even while a tool hangs: a run that was killed leaves no process behind."""
    wait_for_parents_end()
    kill_descendants(os.getpid())
    os.killpg(os.getpid(), signal.SIGKILL)


def _multiprocessing_parents_end() -> None:
    parent = multiprocessing.parent_process()
    assert parent is not None, "a worker is started by multiprocessing, or told when its parent ends"
    wait([parent.sentinel])
