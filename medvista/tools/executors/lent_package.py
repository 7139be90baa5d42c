"""Serves a tool under another interpreter; its text is run there with ``python -c``, so nothing is imported from it.

The medvista of the run is lent to that interpreter, so that both sides speak alike and none has to be installed there.
Arguments: the file of the package's ``__init__``; ``check``, or the descriptors of the connection and of a pipe that
closes when the parent ends; and megabytes, or nothing. ``check`` reads a tool from its standard input.
"""

import importlib.util
import os
import sys


def lend(init: str) -> None:
    """Makes the package importable, whatever else is installed."""
    spec = importlib.util.spec_from_file_location("medvista", init, submodule_search_locations=[os.path.dirname(init)])
    if spec is None or spec.loader is None:
        raise ImportError(f"no package at {init}")
    sys.modules["medvista"] = module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)


def check() -> None:
    """Unpacks a tool, which imports what it needs, and says in one line what came of it."""
    try:
        import cloudpickle

        import medvista.tools.executors.worker_process  # noqa: F401 - what a worker runs

        cloudpickle.loads(sys.stdin.buffer.read())
    except BaseException as error:
        print(f"{type(error).__name__}: {error}".splitlines()[0])
        sys.exit(1)


def main() -> None:
    """See the module."""
    init, *rest = sys.argv[1:]
    if rest == ["check"]:
        try:
            lend(init)
        except ImportError as error:
            print(f"{type(error).__name__}: {error}")
            sys.exit(1)
        check()
        return
    lend(init)
    import socket

    from medvista.tools.executors.worker_process import serve

    connection, parent, memory_mb = rest
    pipe = int(parent)
    serve(socket.socket(fileno=int(connection)), int(memory_mb) if memory_mb else None, lambda: os.read(pipe, 1))


if __name__ == "__main__":
    main()
