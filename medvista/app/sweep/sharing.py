"""What variants have in common: the stages and arms that no setting in which they differ shapes are made once."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial

from medvista.app.arms import ARMS
from medvista.app.config.composition import config_hash
from medvista.app.config.schema import ExperimentConfig
from medvista.app.plan import needed_stages
from medvista.app.stage_settings import STAGES, Settings, configured_arm, configured_stage


@dataclass(frozen=True, kw_only=True)
class Sharing:
    """Of each stage and each arm: variant -> the first variant in which it is the same."""

    stages: Mapping[str, Mapping[str, str]]
    arms: Mapping[str, Mapping[str, str]]

    @classmethod
    def of(cls, variants: Mapping[str, ExperimentConfig], arms: tuple[str, ...]) -> Sharing:
        """Compares the configurations of the variants, which have one seed."""
        return cls(
            stages={stage: _first_alike(variants, partial(configured_stage, stage=stage)) for stage in STAGES},
            arms={arm: _first_alike(variants, partial(configured_arm, stage=ARMS[arm].stage)) for arm in arms},
        )

    def owner(self, arm: str, variant: str) -> str:
        """The variant whose runs play the arm for this one."""
        return self.arms[arm][variant]

    def alike(self, arm: str, variant: str) -> tuple[str, ...]:
        """The variants for which one run plays the arm."""
        return _class_of(self.arms[arm], variant)

    def of_all(self, arm: str) -> bool:
        """Whether no variant changes the arm."""
        return len(set(self.arms[arm].values())) == 1

    def own_arms(self, variant: str) -> list[str]:
        """The arms that this variant has with no other."""
        return [arm for arm in self.arms if self.alike(arm, variant) == (variant,)]

    def shared_arms(self, owner: str, config: ExperimentConfig) -> list[str]:
        """The arms that are played once, under the settings of ``owner``, for it and for other variants.

        A stage that is shared and has no such arm is trained for the arm of its own name.
        """
        alike = {arm: self.alike(arm, owner) for arm in self.arms}
        arms = [arm for arm, variants in alike.items() if len(variants) > 1 and variants[0] == owner]
        stages = [stage for stage in self._needed(config, list(self.arms)) if self._trained_by(stage, owner) == owner]
        trained = self._needed(config, arms)
        return arms + [stage for stage in stages if stage not in trained]

    def handed(self, variant: str, arms: list[str], config: ExperimentConfig) -> dict[str, str]:
        """Stage -> the variant under whose settings it was trained for all that share it, of the stages behind arms."""
        found = {stage: self._trained_by(stage, variant) for stage in self._needed(config, arms)}
        return {stage: owner for stage, owner in found.items() if owner is not None}

    def _trained_by(self, stage: str, variant: str) -> str | None:
        """None where no other variant shares the stage."""
        owners = self.stages[stage]
        return owners[variant] if len(_class_of(owners, variant)) > 1 else None

    @staticmethod
    def _needed(config: ExperimentConfig, arms: list[str]) -> list[str]:
        return needed_stages(replace(config, arms=arms))


def _class_of(owners: Mapping[str, str], variant: str) -> tuple[str, ...]:
    return tuple(other for other, owner in owners.items() if owner == owners[variant])


def _first_alike(
    variants: Mapping[str, ExperimentConfig], settings: Callable[[ExperimentConfig], Settings]
) -> dict[str, str]:
    first: dict[str, str] = {}
    return {name: first.setdefault(config_hash(settings(config)), name) for name, config in variants.items()}
