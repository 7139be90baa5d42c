"""What would stop a run, or is not here yet: every check answers in a sentence, and none stops the others."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from medvista.app.config.checks import check_writable
from medvista.app.config.schema import ExperimentConfig
from medvista.app.players import Players
from medvista.app.questions import Questions
from medvista.app.run_folder import check
from medvista.app.start_checks import check_reinforcement, count_demonstrations
from medvista.app.toolboxes import find_tools, make_toolbox
from medvista.app.training.trainer import check_trainer
from medvista.data.benchmarks import check_name, is_own, own_benchmark, read_benchmark
from medvista.data.phantom_vqa import BENCHMARK as PHANTOM
from medvista.data.registry import BENCHMARKS
from medvista.errors import UserError


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One thing that was looked at."""

    what: str  # "tools"
    sentence: str  # what was found, or what is wrong and how to mend it
    is_mistake: bool = False
    is_absent: bool = False  # nothing is wrong with it, but it has to be fetched


def look(config: ExperimentConfig) -> list[Finding]:
    """Looks at everything that a run of this configuration needs, but for its weights and its memory."""
    players = Players(config, Questions(config))
    checks: list[tuple[str, Callable[[], str]]] = [
        ("settings", lambda: _settings(config)),
        ("folders", lambda: _folders(config)),
        ("trainer", lambda: _trainer(config)),
        ("tools", lambda: _tools(config)),
        ("reinforcement", lambda: _reinforcement(players)),
        ("demonstrations", lambda: _demonstrations(players)),
    ]
    found = [_looked(what, one) for what, one in checks]
    return [*found, *_benchmarks(config)]


def _looked(what: str, one: Callable[[], str]) -> Finding:
    try:
        return Finding(what=what, sentence=one())
    except UserError as error:
        return Finding(what=what, sentence=str(error), is_mistake=True)


def _settings(config: ExperimentConfig) -> str:
    check(config)
    return "arms and modes are known"


def _folders(config: ExperimentConfig) -> str:
    check_writable(config)
    return f"{config.output_dir} and {config.cache_dir} can be written"


def _trainer(config: ExperimentConfig) -> str:
    # What this machine lacks is no mistake: a dry run stands on a login node.
    check_trainer(replace(config.trainer, accelerator="cpu", devices=1, num_nodes=1), config.policy)
    trainer = config.trainer
    return f"{trainer.strategy}, {trainer.precision}, {trainer.num_nodes} x {trainer.devices} GPU"


def _tools(config: ExperimentConfig) -> str:
    tools = find_tools(config.env)
    make_toolbox(config.env, tools).close()
    return ", ".join(tool.name for tool in tools) or "none"


def _reinforcement(players: Players) -> str:
    rl, trainer = players.config.rl, players.config.trainer
    check_reinforcement(players, trainer.devices * trainer.num_nodes)
    return f"{rl.objective}; reward {', '.join(f'{weight:g} {name}' for name, weight in rl.reward.items())}"


def _demonstrations(players: Players) -> str:
    counts = [f"{path}: {count:,}" for path, count in count_demonstrations(players).items()]
    return ", ".join(counts) or "the scripted expert's"


def _benchmarks(config: ExperimentConfig) -> Iterator[Finding]:
    trained = [] if config.task == "evaluate" else [config.data.benchmark, *config.data.more_benchmarks]
    for name in dict.fromkeys([*trained, *config.benchmarks]):
        if name != PHANTOM:
            yield _benchmark(name, config.data.root)


def _benchmark(name: str, root: Path | None) -> Finding:
    """Whether its name is known and its test questions can be read; files that were not placed are no mistake."""
    what = f"benchmark {name}"
    try:
        known = own_benchmark(name).files if is_own(name) else BENCHMARKS[check_name(name)].splits
    except UserError as error:
        return Finding(what=what, sentence=str(error), is_mistake=True)
    try:
        asked = len(read_benchmark(name, root, "test")) if "test" in known else 0
        return Finding(what=what, sentence=f"{asked:,} test questions are here")
    except UserError as error:
        fetch = f"not here yet: python -m experiments.prepare {name}"
        return Finding(what=what, sentence=f"{fetch} ({error})", is_absent=not is_own(name), is_mistake=is_own(name))
