"""The runs that a sweep is made of, each a command that a person could type."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from medvista.app.config.composition import compose
from medvista.app.config.schema import ExperimentConfig, SweepConfig
from medvista.app.run_folder import check
from medvista.app.stage_settings import differences, questions_asked, run_settings
from medvista.app.sweep.sharing import Sharing
from medvista.app.training.objectives import filter_of, objective_of
from medvista.errors import UserError
from medvista.rewards import find_term

SHARED = "shared"  # names the runs whose stages and arms several variants have in common
_OF_THE_SWEEP = ("experiment=", "output_dir=", "cache_dir=", "arms=", "seed=", "resume=", "sweep=", "sweep.")
_FOLDER = re.compile(r"[\w.+=-]+")


@dataclass(frozen=True, kw_only=True)
class Part:
    """One run of a sweep."""

    name: str  # of its folder: that of its variant, or "shared..."
    variant: str  # whose settings it has
    seed: int
    folder: Path
    arms: tuple[str, ...]
    overrides: tuple[str, ...]  # of its variant
    handed: Mapping[str, Path] = field(default_factory=dict)  # stage -> folder of the run that trains it for this one

    @property
    def arguments(self) -> list[str]:
        """The overrides that make this run."""
        own = [f"seed={self.seed}", f"output_dir={self.folder}", f"arms=[{','.join(self.arms)}]", "resume=true"]
        return [*self.overrides, *own]

    @property
    def command(self) -> list[str]:
        """What a person would type to get the same run."""
        return [sys.executable, "-m", "medvista.app.commands.run", *self.arguments]

    def __str__(self) -> str:
        return f"{self.name}, seed {self.seed}"


@dataclass(frozen=True, kw_only=True)
class Sweep:
    """A sweep, read and checked: its variants as configurations, what they share, and the runs it takes."""

    config: ExperimentConfig
    settings: SweepConfig
    variants: Mapping[str, ExperimentConfig]
    sharing: Sharing
    parts: tuple[Part, ...]  # each behind those that hand it a stage

    @property
    def baseline(self) -> str:
        """The variant that the others are compared with."""
        return self.settings.baseline or next(iter(self.variants))

    def part_of(self, arm: str, variant: str, seed: int) -> Part:
        """The run that plays an arm for a variant."""
        owner = self.sharing.owner(arm, variant)
        return next(p for p in self.parts if (p.variant, p.seed) == (owner, seed) and arm in p.arms)


def read_sweep(config: ExperimentConfig) -> Sweep:
    """Everything a sweep will do, checked before anything is run.

    Raises:
        UserError: a variant is wrong, has no name that a folder may have, or is asked other questions than the others.
    """
    assert config.sweep is not None
    settings = config.sweep
    _check_names(settings)
    overrides = {name: variant_overrides(config, name) for name in settings.variants}
    variants = {name: _composed(name, given) for name, given in overrides.items()}
    _check_questions(variants)
    sharing = Sharing.of(variants, tuple(config.arms))
    parts = tuple(_parts(config, overrides, variants, sharing))
    return Sweep(config=config, settings=settings, variants=variants, sharing=sharing, parts=parts)


def variant_overrides(config: ExperimentConfig, variant: str) -> tuple[str, ...]:
    """What makes a variant's run, beside seed, folder and arms; the command line's word holds for every variant."""
    sweep = config.sweep
    assert sweep is not None
    forwarded = [given for given in config.overrides if not given.startswith(_OF_THE_SWEEP)]
    modes = f"evaluation.modes=[{','.join(config.evaluation.modes)}]"
    own = sweep.variants[variant]
    places = (f"experiment={sweep.experiment}", f"cache_dir={config.cache_dir}")
    return (*places, *sweep.common, *own, *forwarded, modes)


def _parts(
    config: ExperimentConfig,
    overrides: Mapping[str, tuple[str, ...]],
    variants: Mapping[str, ExperimentConfig],
    sharing: Sharing,
) -> Iterator[Part]:
    """The shared runs of every seed first, since others wait for them."""
    assert config.sweep is not None
    first = next(iter(variants))
    shared = {name: SHARED if name == first else f"{SHARED}-{name}" for name in variants}

    def part(name: str, variant: str, seed: int, arms: list[str]) -> Part:
        owners = sharing.handed(variant, arms, variants[variant])
        handed = {stage: folder(shared[owner], seed) for stage, owner in owners.items() if shared[owner] != name}
        return Part(
            name=name,
            variant=variant,
            seed=seed,
            folder=folder(name, seed),
            arms=tuple(arms),
            overrides=overrides[variant],
            handed=handed,
        )

    def folder(name: str, seed: int) -> Path:
        return config.output_dir / name / f"seed-{seed}"

    for variant in variants:
        for seed in config.sweep.seeds:
            if arms := sharing.shared_arms(variant, variants[variant]):
                yield part(shared[variant], variant, seed, arms)
    for seed in config.sweep.seeds:
        for variant in variants:
            if arms := sharing.own_arms(variant):
                yield part(variant, variant, seed, arms)


def is_done(part: Part) -> bool:
    """Whether the run has ended, under the settings that it would have now.

    Raises:
        UserError: it was made with other settings, which are named; more arms are no other settings.
    """
    if not (part.folder / "results.json").exists():
        return False
    written = f"experiment={part.folder / 'config.yaml'}"
    before, now = (run_settings(compose(ExperimentConfig, given)) for given in ([written], part.overrides))
    if differs := differences(before, now):
        raise UserError(
            f"the run of {part} in {part.folder} was made with other settings: "
            f"{'; '.join(differs)}. Give the same ones, or another output_dir."
        )
    return set(compose(ExperimentConfig, [written]).arms) >= set(part.arms)


def _check_names(sweep: SweepConfig) -> None:
    if not sweep.variants or not sweep.seeds:
        raise UserError("a sweep needs sweep.variants and sweep.seeds: give at least one of each.")
    if len(set(sweep.seeds)) < len(sweep.seeds):
        raise UserError(f"sweep.seeds={sweep.seeds} names a seed twice: give each once.")
    for name in sweep.variants:
        if not _FOLDER.fullmatch(name) or name.startswith(SHARED):
            raise UserError(
                f"sweep.variants: '{name}' cannot name a folder of runs: use letters, digits, and any of . + = _ -; "
                f"names that begin with '{SHARED}' are taken."
            )
    if sweep.baseline and sweep.baseline not in sweep.variants:
        raise UserError(f"sweep.baseline has no '{sweep.baseline}': there are {', '.join(sweep.variants)}.")


def _composed(name: str, overrides: tuple[str, ...]) -> ExperimentConfig:
    try:
        config = compose(ExperimentConfig, overrides)
        check(config)
        objective_of(config)
        filter_of(config)
        for term in config.rl.reward:
            find_term(term)
    except UserError as error:
        raise UserError(f"variant {name}: {error}") from None
    if config.sweep is not None:
        raise UserError(f"experiment={config.experiment} is itself a sweep: sweep over the one that it runs.")
    if config.task != "train":
        raise UserError(f"variant {name}: task={config.task} cannot be swept: a sweep trains and compares arms.")
    return config


def _check_questions(variants: Mapping[str, ExperimentConfig]) -> None:
    """Differences are paired by question, so every variant must be asked the same ones."""
    (first, config), *others = variants.items()
    for name, other in others:
        if differs := differences(questions_asked(config), questions_asked(other)):
            raise UserError(
                f"variant {name} would be asked other questions than {first} ({'; '.join(differs)}): sweep what shapes "
                "training, and run what shapes the test as a sweep of its own."
            )
