"""Plays updates whose groups have to be refilled unequally: ``play.py FOLDER WORLD STRATEGY``."""

from __future__ import annotations

import json
import sys
from functools import partial
from pathlib import Path
from typing import Any

import lightning
import torch

from medvista.data.curriculum import CurriculumSampler
from medvista.data.phantom_vqa import phantom_samples
from medvista.datamodules import RolloutDataModule
from medvista.envs import MedicalVQAEnv
from medvista.policies import ChatRenderer, ScriptedPolicy, TransformersEngine, VLMPolicy
from medvista.policies.sharding import shard
from medvista.ranks import gathered, rank
from medvista.rl_settings import CurriculumConfig
from medvista.rollout import ExperienceBatch, RolloutCollector
from medvista.types import Reward, Trajectory
from tests.ranks.trainers import bare_trainer

UPDATES, PROMPTS, QUESTIONS = 3, 5, 16
LOOK = '<tool_call>{"name": "zoom", "arguments": {"image": 0, "box": [0, 0, 500, 500]}}</tool_call>'


class Watched(lightning.LightningModule):
    """Keeps what each update learns from; trains nothing."""

    def __init__(self, policy: VLMPolicy) -> None:
        super().__init__()
        self.automatic_optimization = False
        self.policy = policy
        self.seen: list[dict[str, Any]] = []

    def training_step(self, batch: ExperienceBatch, batch_idx: int) -> None:
        data: RolloutDataModule = self.trainer.datamodule  # type: ignore[attr-defined]
        rows = zip(batch.groups.tolist(), batch.trajectories, batch.loss_mask.any(dim=1).tolist(), strict=True)
        learned = [(group, t.sample.id, t.seed, t.reward.total, t.stream.token_ids) for group, t, some in rows if some]
        shown = (batch.stats or {}).items()
        stats = {name: value for name, value in shown if name != "rollout/seconds" and "speed" not in name}
        told = {"learned": learned, "position": data.state_dict()["sampler"]["position"], "stats": stats}
        processes = gathered(told)
        assert len({json.dumps({**process, "learned": None}) for process in processes}) == 1
        told["learned"] = sorted(row for process in processes for row in process["learned"])
        self.seen.append(told)
        self.optimizers().step()  # type: ignore[union-attr]

    def configure_model(self) -> None:
        if self.device_mesh is not None:
            self.policy = shard(self.policy, self.device_mesh["data_parallel"])

    def configure_optimizers(self) -> Any:
        return torch.optim.SGD(self.policy.parameters(), lr=0.0)


def _turn(trajectory: Trajectory) -> str | None:
    """None, one or two looks, by lot, then what the policy samples: turns and their lengths are unequal."""
    return LOOK if len(trajectory.turns) < trajectory.seed % 3 else None


def _reward(trajectory: Trajectory) -> Reward:
    """Siblings earn the same unless the question is one of a few, so that most groups are replaced."""
    lucky = sum(trajectory.sample.id.encode()) % 4 == 0
    return Reward(total=float(lucky and trajectory.seed % 2), terms={})


def main(folder: Path, world: int, strategy: str) -> None:
    """Leaves what each update learned from in ``<strategy>.json``, of two ways to draw questions."""
    curriculum = CurriculumSampler([""] * QUESTIONS, CurriculumConfig(floor=0.01))
    ways = {
        "shuffled": play(folder, world, strategy),
        "curriculum": play(folder, world, strategy, order=curriculum, oversample=1.5),
    }
    if rank() == 0:
        (folder / f"{strategy}.json").write_text(json.dumps(ways))


def play(folder: Path, world: int, strategy: str, **options: Any) -> list[dict[str, Any]]:
    """What each update learned from."""
    questions = phantom_samples("train", images=4)

    def collector(policy: VLMPolicy) -> RolloutCollector:
        engine = ScriptedPolicy(_turn, tokenizer=policy.tokenizer, otherwise=TransformersEngine(policy))
        make_env = partial(MedicalVQAEnv, questions, view_size=32, max_turns=3, reward_fn=_reward)
        return RolloutCollector(make_env, engine, ChatRenderer(policy, "Tools: zoom"))

    data = RolloutDataModule(
        questions,
        collector,
        {"one": phantom_samples("validation", images=1)[:1]},
        prompts=PROMPTS,
        group_size=2,
        updates=UPDATES,
        max_new_tokens=16,
        refill_rounds=2,
        **options,
    )
    module = Watched(VLMPolicy.from_pretrained(folder / "policy"))
    trainer = bare_trainer(strategy, world, folder, UPDATES)
    trainer.fit(module, datamodule=data)
    return module.seen


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3])
