"""The stages of a run: each trains one policy, leaves it in a folder of its own, and is done once."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path

from medvista.app.arms import BLANKED, WITH_TOOLS, WITHOUT_TOOLS, Conditions
from medvista.app.loading import loading
from medvista.app.players import Players
from medvista.app.resuming import RunSettings
from medvista.app.training.base_model import BaseModel
from medvista.app.training.data_order import benchmarks_of
from medvista.app.training.demonstration_modes import mix
from medvista.app.training.demonstrations import demonstrations, token_streams
from medvista.app.training.expert_iteration import iterate_expert
from medvista.app.training.reinforcement import train_rl
from medvista.app.training.stage_record import StageRecord, read_record
from medvista.app.training.supervised import train_sft
from medvista.data.atomic import replacing
from medvista.data.checksums import check_files, write_checksums
from medvista.envs import blank_images
from medvista.policies import VLMPolicy, merge_adapters
from medvista.ranks import agreed, led
from medvista.types import Trajectory

_CHECKSUMS = "policy.sha256"  # of the finished policy's files


class Stages:
    """Trains the policies of a run, each at most once; a stage that was interrupted goes on from its checkpoint.

    Args:
        players: of the run.
        base: the model before any training.
        settings: kept beside what they shape.
    """

    def __init__(self, players: Players, base: BaseModel, settings: RunSettings) -> None:
        self.players = players
        self.config = players.config
        self.base = base
        self.settings = settings
        self.records: dict[str, StageRecord] = {}

    def policy(self, name: str) -> VLMPolicy:
        """The policy of a stage, trained now if it was not; ``"base"`` is the untrained one."""
        if name == "base":
            return self.base.policy()
        self.ensure(name)
        self.base.keep(None)  # two models would be in memory
        return VLMPolicy.from_pretrained(self.policy_folder(name), loading(self.config))

    def policy_folder(self, name: str) -> Path:
        """Where the policy of a finished stage is.

        Raises:
            UserError: a file of it is not as it was written.
        """
        done = self.folder(name) / "done.json"
        check_files(self.folder(name) / _CHECKSUMS, f"delete {done}, and the stage goes on from its last checkpoint")
        return self.folder(name) / "policy"

    def ensure(self, name: str) -> StageRecord:
        """Trains a stage unless that is done."""
        done = self.folder(name) / "done.json"
        if name not in self.records and agreed(done.exists()):
            self.records[name] = read_record(done)
        if name not in self.records:
            led(lambda: self.settings.keep_for_stage(name))
            record, policy = _STAGES[name](self)
            led(lambda: self._keep(name, record, policy))
            self.records[name] = agreed(record)  # clocks differ, and sft_longer plans its steps by the seconds
        return self.records[name]

    def _keep(self, name: str, record: StageRecord, policy: VLMPolicy) -> None:
        lora = self.config.policy.lora
        if lora is not None and lora.merge:
            merge_adapters(policy.model)
        saved = self.folder(name) / "policy"
        policy.save_pretrained(saved)
        write_checksums(self.folder(name) / _CHECKSUMS, [path for path in saved.rglob("*") if path.is_file()])
        with replacing(self.folder(name) / "done.json") as file:
            file.write(json.dumps(asdict(record)).encode())

    def folder(self, name: str) -> Path:
        """Where a stage keeps its checkpoints and its policy."""
        return self.config.output_dir / "checkpoints" / name

    def direct_demonstrations(self) -> list[Trajectory]:
        """Questions answered without a look."""
        return self._demonstrations("direct", WITHOUT_TOOLS)

    def look_demonstrations(self) -> list[Trajectory]:
        """Questions answered after a look with the tools."""
        return self._demonstrations("sft", WITH_TOOLS)

    def _demonstrations(self, name: str, conditions: Conditions) -> list[Trajectory]:
        path = self.config.output_dir / "demonstrations" / f"{name}.jsonl"
        sft = getattr(self.config, name)
        return mix(demonstrations(self.players, sft, conditions, path, base=self._base_to_look_at), sft.mix)

    def _base_to_look_at(self) -> VLMPolicy:
        """The untrained policy, which the stage that asked for demonstrations then starts from."""
        policy = self.policy("base")
        self.base.keep(policy)
        return policy


# --------------------------------------------------------------------------------------------------------- the stages


def _answer_only(stages: Stages, name: str, seen: list[Trajectory], conditions: Conditions) -> _Trained:
    """SFT on answers given without a look."""
    policy, sft = stages.policy("base"), stages.config.direct
    streams = token_streams(stages.players, policy, seen, conditions, sft)
    folder = stages.folder(name)
    of = benchmarks_of(seen)
    return train_sft(stages.players, folder, policy, streams, sft, conditions, steps=sft.steps, benchmarks=of), policy


def _direct(stages: Stages) -> _Trained:
    """SFT without tools."""
    return _answer_only(stages, "direct", stages.direct_demonstrations(), WITHOUT_TOOLS)


def _tools_unused(stages: Stages) -> _Trained:
    """What ``"direct"`` is, with the tools offered in the prompt: the prompt is known, the tools are not."""
    return _answer_only(stages, "tools_unused", stages.direct_demonstrations(), WITH_TOOLS)


def _blind(stages: Stages) -> _Trained:
    """What ``"direct"`` is, from the same questions with every image blanked: the budget is equal."""
    seen = stages.direct_demonstrations()
    unseen = [replace(trajectory, observation=blank_images(trajectory.observation)) for trajectory in seen]
    return _answer_only(stages, "blind", unseen, BLANKED)


def _direct_rl(stages: Stages) -> _Trained:
    """RL without tools."""
    policy = stages.policy("direct")
    return train_rl(stages.players, stages.folder("direct_rl"), policy, WITHOUT_TOOLS), policy


def _sft(stages: Stages) -> _Trained:
    """The cold start: SFT on tool-use demonstrations."""
    seen = stages.look_demonstrations()  # before the policy is taken, so that the base model is loaded once
    policy, sft = stages.policy("base"), stages.config.sft
    streams = token_streams(stages.players, policy, seen, WITH_TOOLS, sft)
    folder, of = stages.folder("sft"), benchmarks_of(seen)
    return train_sft(stages.players, folder, policy, streams, sft, WITH_TOOLS, steps=sft.steps, benchmarks=of), policy


def _sft_rl(stages: Stages) -> _Trained:
    """RL in the environment, from the cold start."""
    policy = stages.policy("sft")
    return train_rl(stages.players, stages.folder("sft_rl"), policy, WITH_TOOLS), policy


def _sft_longer(stages: Stages) -> _Trained:
    """The wall time of RL spent on more SFT with the same demonstrations; the best validation checkpoint is kept."""
    seconds = stages.ensure("sft_rl").seconds
    policy, sft = stages.policy("sft"), stages.config.sft
    seen = stages.look_demonstrations()
    streams = token_streams(stages.players, policy, seen, WITH_TOOLS, sft)
    # Steps only bound the schedule: time ends the stage.
    pace = stages.ensure("sft").seconds / max(1, stages.ensure("sft").steps)
    steps = max(sft.steps, round(seconds / pace))
    folder = stages.folder("sft_longer")
    of = benchmarks_of(seen)
    record = train_sft(
        stages.players,
        folder,
        policy,
        streams,
        sft,
        WITH_TOOLS,
        steps=steps,
        benchmarks=of,
        seconds=seconds,
        keep_best=True,
    )
    return record, policy


def _sft_rejection(stages: Stages) -> _Trained:
    """Expert iteration with RL's reward and as many generated tokens."""
    policy = stages.policy("sft")
    budget = stages.ensure("sft_rl").generated_tokens
    return iterate_expert(stages.players, stages.folder("sft_rejection"), policy, budget=budget), policy


_Trained = tuple[StageRecord, VLMPolicy]
_STAGES: dict[str, Callable[[Stages], _Trained]] = {
    "direct": _direct,
    "tools_unused": _tools_unused,
    "blind": _blind,
    "direct_rl": _direct_rl,
    "sft": _sft,
    "sft_rl": _sft_rl,
    "sft_longer": _sft_longer,
    "sft_rejection": _sft_rejection,
}
