"""Fetch benchmarks and check them: ``python -m experiments.prepare NAME... [--check] [data.root=FOLDER]``."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from medvista.data.benchmark_check import Check, check_benchmark
from medvista.data.benchmarks import check_name, is_own
from medvista.data.hub_download import fetch, is_placed, unpack
from medvista.data.leakage import measure_leakage
from medvista.data.registry import BENCHMARKS
from medvista.errors import UserError

_USAGE = f"""\
usage: python -m experiments.prepare NAME... [--check] [--leakage] [data.root=FOLDER] [revision=REVISION]

Fetches a benchmark from the Hugging Face hub where it is not there yet, unpacks it, compares its counts and checksums
with what was published, and prints, last, one line of JSON: {{NAME: {{questions, images, train_test_image_overlap}}}}.
Without a network, it says what to place where. A NAME may also be the YAML file of a question set of your own.

names: {", ".join(BENCHMARKS)}

  --check     only checks what is there: fetches nothing, writes nothing
  --leakage   also compares every test set with every training set by perceptual hashes (docs/benchmarks.md)
  data.root   the folder that holds the benchmarks (default: $MEDVISTA_DATA)
  revision    branch, tag or commit of the hub's repository (default: main)
"""


@dataclass(frozen=True, kw_only=True)
class Request:
    """What the command line asks for."""

    names: tuple[str, ...]
    only_check: bool = False
    leakage: bool = False
    root: str | None = None
    revision: str = "main"


def parse(arguments: Sequence[str]) -> Request:
    """The request behind command-line arguments.

    Raises:
        UserError: a flag, a key or a name is unknown, or no name is given.
    """
    names = tuple(argument for argument in arguments if not argument.startswith("-") and "=" not in argument)
    settings = dict(argument.split("=", 1) for argument in arguments if "=" in argument)
    flags = {argument for argument in arguments if argument.startswith("-") and "=" not in argument}
    if unknown := sorted((flags - {"--check", "--leakage"}) | (settings.keys() - {"data.root", "revision"})):
        raise UserError(
            f"unknown argument {unknown[0]!r}: --check, --leakage, data.root=... and revision=... are known"
        )
    if not names:
        raise UserError(f"name at least one benchmark: {', '.join(BENCHMARKS)}")
    for name in names:
        if not is_own(name):
            check_name(name)
    return Request(
        names=names,
        only_check="--check" in flags,
        leakage="--leakage" in flags,
        root=settings.get("data.root"),
        revision=settings.get("revision", "main"),
    )


def prepare(name: str, request: Request) -> Check:
    """Fetch what is missing, unless asked only to check, and check.

    Raises:
        UserError: the benchmark is not there and cannot be fetched; it says what to place where.
    """
    if request.only_check or is_own(name):
        return check_benchmark(name, request.root)
    root, hub = _writable_root(request.root), BENCHMARKS[name].hub
    try:
        return check_benchmark(name, root)
    except UserError as missing:
        if hub is None:
            raise
        print(f"{name}: {missing}", file=sys.stderr)
    if not is_placed(hub, root):
        try:
            fetch(hub, root, request.revision)
        except UserError as error:
            raise UserError(f"{error}; without the hub, place {BENCHMARKS[name].place} below {root}") from None
    unpack(hub, root)
    return check_benchmark(name, root)


def _writable_root(given: str | None) -> Path:
    """The data root, made when it is not there."""
    root = given or os.environ.get("MEDVISTA_DATA")
    if not root:
        raise UserError("say where to put it: data.root=... or MEDVISTA_DATA")
    path = Path(root).expanduser()
    path.mkdir(parents=True, exist_ok=True)
    return path


def report(check: Check) -> None:
    """Tell a person what was found."""
    print(f"{check.name}: {'; '.join([*check.notes, f'{check.images:,} image files'])}")
    if check.train_test_image_overlap:
        print(f"  {check.train_test_image_overlap:,} test images also occur in train")
    for problem in check.problems:
        print(f"  problem: {problem}", file=sys.stderr)


def report_leakage(checks: Sequence[Check]) -> None:
    """Every test set against every training set, validation included."""
    train = {c.name: [*c.samples.get("train", ()), *c.samples.get("validation", ())] for c in checks}
    test = {c.name: c.samples["test"] for c in checks if "test" in c.samples}
    for line in measure_leakage({name: samples for name, samples in train.items() if samples}, test).lines():
        print(f"  {line}")


def main(argv: Sequence[str] | None = None) -> int:
    """Entry point; returns 0, 1 where something does not agree with what was published, 2 after a user's mistake."""
    arguments = sys.argv[1:] if argv is None else list(argv)
    if {"--help", "-h"} & set(arguments):
        print(_USAGE)
        return 0
    checks, missing = [], False
    try:
        request = parse(arguments)
        for name in request.names:
            try:
                checks.append(prepare(name, request))
                report(checks[-1])
            except UserError as error:
                missing = True
                print(f"error: {name}: {error}", file=sys.stderr)
        if request.leakage:
            report_leakage(checks)
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    print(json.dumps({check.name: check.to_json() for check in checks}))
    return 2 if missing else int(any(check.problems for check in checks))


if __name__ == "__main__":
    sys.exit(main())
