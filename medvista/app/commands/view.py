"""A page to browse a run's episodes: ``python -m experiments.view RUN [RUN2] [--out FOLDER] [--port PORT]``."""

from __future__ import annotations

import argparse
import signal
import sys
import webbrowser
from collections.abc import Sequence
from pathlib import Path

from tqdm import tqdm

from medvista.errors import UserError

_DESCRIPTION = """\
Writes a local page to browse a run's episodes, and opens it: what the policy was shown, where it looked, what it
thought, what came back, what it earned. With two runs, or two arms of one, it shows them side by side on the same
question. The page is static files: it opens from disk, needs no network, and its folder can be copied or zipped.

examples:
  python -m experiments.view runs/nano
  python -m experiments.view runs/nano runs/second
  python -m experiments.view runs/nano/demonstrations/sft.jsonl --out /tmp/demonstrations
  python -m experiments.view runs/nano --no-browser --port 8000     on another machine, seen through `ssh -L 8000:...`
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Entry point; returns 0, 2 after a user's mistake."""
    asked = _parser().parse_args(argv)
    try:
        page = write(asked.runs, asked.out)
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    print(page)
    if asked.port is not None:
        return _serve(page, asked.port, open_browser=not asked.no_browser)
    if not asked.no_browser:
        webbrowser.open(page.resolve().as_uri())
    return 0


def write(runs: Sequence[Path], out: Path | None = None) -> Path:
    """Write the viewer of one or two runs, and return its page.

    Raises:
        UserError: a run or its trajectories are missing or wrong, or the viewer cannot be written there.
    """
    if len(runs) > 2:
        raise UserError(f"{len(runs)} runs were given: a viewer shows one, or two side by side")
    # Imported here, since torch takes seconds that --help should not cost.
    from medvista.evaluation.viewer import find_sources, write_viewer

    sources = [source for run, name in zip(runs, _names(runs), strict=True) for source in find_sources(run, name)]
    out = out or (runs[0] / "viewer" if runs[0].is_dir() else runs[0].with_name(f"{runs[0].stem}-viewer"))
    with tqdm(total=len(sources), desc="episodes", unit="file", leave=False) as bar:
        return write_viewer(out, sources, on_read=lambda _: bar.update())


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m experiments.view",
        description=_DESCRIPTION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("runs", nargs="+", type=Path, metavar="RUN", help="a run's folder, or a trajectory file")
    parser.add_argument("--out", type=Path, metavar="FOLDER", help="where the page goes (default: RUN/viewer)")
    parser.add_argument("--port", type=int, help="also serve it on this port of this machine; 0 takes a free one")
    parser.add_argument("--no-browser", action="store_true", help="write the page, open nothing")
    return parser


def _names(runs: Sequence[Path]) -> list[str]:
    """What to call them: the last parts of their paths, as many as tell them apart.

    >>> _names([Path("runs/nano"), Path("old/nano")]), _names([Path("runs/nano")])
    (['runs/nano', 'old/nano'], ['nano'])
    """
    parts = [run.resolve().parts[-2:] for run in runs]
    last = [part[-1] for part in parts]
    return last if len(set(last)) == len(last) else ["/".join(part) for part in parts]


def _serve(page: Path, port: int, *, open_browser: bool) -> int:
    """Serve the page's folder to this machine alone, until interrupted."""
    from medvista.evaluation.viewer import page_server

    try:
        server = page_server(page.parent, port)
    except (OSError, OverflowError) as error:
        print(f"error: port {port} cannot be used ({error}): choose another, or 0 for a free one", file=sys.stderr)
        return 2
    address = f"http://127.0.0.1:{server.server_port}/"
    print(f"{address}   until Ctrl-C", flush=True)
    if open_browser:
        webbrowser.open(address)
    for number in (signal.SIGINT, signal.SIGTERM):  # a shell starts its background jobs with Ctrl-C ignored
        signal.signal(number, signal.default_int_handler)
    try:
        server.serve_forever()
    except KeyboardInterrupt:
        pass
    finally:
        server.server_close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
