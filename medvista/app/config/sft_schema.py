"""The keys of supervised fine-tuning, and of collecting what it learns from."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from medvista.functional.acceptance import LookRule
from medvista.schema_field import setting
from medvista.settings import ExpertConfig, OptimiserConfig
from medvista.types import Split

DEMONSTRATIONS = "demonstrations.jsonl"  # in a folder that task=collect has written


@dataclass(kw_only=True)
class SFTConfig:
    """Supervised fine-tuning on demonstrations."""

    demonstrations: int = setting(
        1000, help="Questions that the expert demonstrates; those it gets wrong are left out.", above=0
    )
    path: Path | None = setting(
        None,
        help="Your own demonstrations instead of the expert's: a JSONL file, or a folder of task=collect.",
        also=("demonstrations_path",),
    )
    expert: ExpertConfig = field(default_factory=ExpertConfig)
    steps: int = setting(200, help="Optimiser steps.", above=0, also=("max_steps", "epochs"))
    batch_size: int = setting(64, help="Demonstrations per optimiser step.", above=0)
    optimiser: OptimiserConfig = field(
        default_factory=lambda: OptimiserConfig(learning_rate=2e-3, vision_learning_rate=3e-4, decay_to=0.1)
    )

    mix: dict[str, float] = setting(
        {},
        help="Shares of the modes of demonstrations, such as {look: 0.6, direct: 0.4}; reflection is the third. Rare "
        "ones are repeated. {}: the demonstrations as they are.",
    )
    pack_tokens: int = setting(
        0,
        help="Tokens of one row, in which several demonstrations stand one behind the other, unseen by each other: the "
        "same gradient without padding. 0: a row per demonstration.",
        least=0,
        also=("packing", "max_seq_length"),
    )
    learn_mistakes: bool = setting(
        False,
        help="Whether the wrong look of a reflection demonstration carries loss. false: its correction alone does, "
        "since a policy that learns to write the mistake looks wrong first.",
    )

    @property
    def file(self) -> Path | None:
        """The file behind `path`."""
        return self.path / DEMONSTRATIONS if self.path is not None and self.path.is_dir() else self.path


@dataclass(kw_only=True)
class CollectConfig:
    """Collecting demonstrations (task=collect): who plays the episodes, and which are kept."""

    teacher: Literal["expert", "endpoint", "policy"] = setting(
        "expert",
        help="Who plays: the scripted expert (sft.expert), the model behind policy.endpoint, or the policy itself "
        "(policy.path), which is rejection sampling.",
    )
    split: Split = setting("train", help="Split that is asked; test has to be said, and SFT refuses what comes of it.")
    questions: int = setting(0, help="Questions that are asked, drawn by the seed; 0: all.", least=0)
    samples: int = setting(1, help="Episodes per question, at most.", above=0, also=("n", "num_samples"))
    per_question: int = setting(4, help="Demonstrations kept per question, at most.", above=0)
    temperature: float = setting(1.0, help="Sampling temperature of the endpoint or the policy; 0: greedy.", least=0)
    look: LookRule = setting(
        "any",
        help="What an episode must have looked at. none: nothing; any: one call has shown something; hit: a look "
        "contains an annotated region, where one is annotated; fork: without what one call has shown, the answer is "
        "wrong.",
    )
    forks: int = setting(
        1, help="Forks per call, of collect.look=fork; a call is useful if the answer is wrong in all.", above=0
    )
    batch_size: int = setting(64, help="Episodes that are played together.", above=0)
    rationales: bool = setting(
        False,
        help="Whether the model behind policy.endpoint writes longer thoughts for what is kept, whoever played it; the "
        "actions stay.",
    )
    reflection_share: float = setting(
        0.0,
        help="Share of what is kept that is played again with a drawn wrong look before the right one, and added.",
        least=0,
        most=1,
    )


@dataclass(kw_only=True)
class RejectionConfig:
    """Expert iteration: as many generated tokens as RL, in rounds of sampling and fine-tuning on what was right."""

    rounds: int = setting(4, help="Rounds of sampling and fine-tuning.", above=0)
    epochs: int = setting(2, help="Passes per round over all episodes kept so far.", above=0)
