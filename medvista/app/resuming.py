"""Going on with a run: only with what was made under the same settings.

``resume=true`` refuses a folder in which a stage or the test episodes were made under other settings, and names them.
``resume=stages`` moves just those aside, into ``replaced/``, so that they are made again.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime
from pathlib import Path

from medvista.app.arms import ARMS
from medvista.app.config.schema import ExperimentConfig
from medvista.app.questions import Questions
from medvista.app.stage_settings import (
    STAGES,
    Settings,
    differences,
    episode_settings,
    read_settings,
    stage_settings,
    write_settings,
)
from medvista.app.training.checkpoints import has_checkpoint
from medvista.errors import UserError
from medvista.evaluation.playing.episode_set import FOLDER as EPISODES

_NO_RECORD = "no record of its settings is kept (settings.json): an older version made it"
_NAMED = 4  # differences that a sentence names


class RunSettings:
    """What shapes each stage of a run, and its test episodes.

    Args:
        config: of the run.
        questions: of the run.
        base: identity of the base model; ``""`` where nothing is trained.
    """

    def __init__(self, config: ExperimentConfig, questions: Questions, base: str = "") -> None:
        self.config, self.questions, self.base = config, questions, base

    def keep_for_stage(self, stage: str) -> None:
        """Writes the settings of a stage that is about to be trained."""
        path = _of_stage(self.config.output_dir, stage)
        if not path.exists():
            write_settings(path, self._stage(stage))

    def keep_for_episodes(self) -> None:
        """Writes the settings of the test episodes that are about to be played."""
        path = self.config.output_dir / EPISODES / "settings.json"
        if not path.exists():
            write_settings(path, episode_settings(self.config))

    def check(self) -> None:
        """Before a run goes on: refuses what was made otherwise, or moves it aside (``resume=stages``).

        Raises:
            UserError: naming the stages and what differs.
        """
        if not self.config.resume:
            return
        changed = {stage: differs for stage in STAGES if (differs := self._changed_stage(stage))}
        episodes = self._changed_episodes()
        if not changed and not episodes:
            return
        if str(self.config.resume) != "stages":
            raise UserError(self._refusal(changed | ({"the test episodes": episodes} if episodes else {})))
        _move_aside(self.config.output_dir, list(changed), all_episodes=bool(episodes))

    def _stage(self, stage: str) -> Settings:
        return stage_settings(self.config, stage, self.questions, self.base)

    def _changed_stage(self, stage: str) -> list[str]:
        path = _of_stage(self.config.output_dir, stage)
        begun = any((path.parent / name).exists() for name in ("done.json", "policy")) or has_checkpoint(path.parent)
        before = read_settings(path)
        if before is None:
            return [_NO_RECORD] if begun else []
        return differences(before, self._stage(stage))

    def _changed_episodes(self) -> list[str]:
        folder = self.config.output_dir / EPISODES
        before = read_settings(folder / "settings.json")
        if before is None:
            return [_NO_RECORD] if any(folder.glob("*.jsonl*")) else []
        return differences(before, episode_settings(self.config))

    def _refusal(self, changed: Mapping[str, list[str]]) -> str:
        first, differs = next(iter(changed.items()))
        more = f"; and {len(differs) - _NAMED} more" if len(differs) > _NAMED else ""
        others = f" So were {', '.join(list(changed)[1:])}." if len(changed) > 1 else ""
        return (
            f"resume=true: {first} of {self.config.output_dir} was made with other settings: "
            f"{'; '.join(differs[:_NAMED])}{more}.{others} Give the same settings, another output_dir, or "
            "resume=stages, which makes only what changed again."
        )


def _of_stage(run: Path, stage: str) -> Path:
    return run / "checkpoints" / stage / "settings.json"


def _move_aside(run: Path, stages: list[str], *, all_episodes: bool) -> None:
    """Moves what changed into ``replaced/<time>``; episodes before the policies that played them."""
    aside = run / "replaced" / datetime.now().strftime("%Y%m%d-%H%M%S")
    for path in [*_episode_files(run, stages, all_episodes), *_stage_files(run, stages)]:
        target = aside / path.relative_to(run)
        target.parent.mkdir(parents=True, exist_ok=True)
        path.rename(target)


def _episode_files(run: Path, stages: list[str], all_episodes: bool) -> Iterator[Path]:
    folder = run / EPISODES
    if all_episodes:
        yield from [folder] if folder.exists() else []
        return
    for arm in (name for name, arm in ARMS.items() if arm.stage in stages):
        yield from sorted({*folder.glob(f"*-{arm}-*.jsonl*"), *folder.glob(f"*-{arm}.*-*.jsonl*")})


def _stage_files(run: Path, stages: list[str]) -> Iterator[Path]:
    for stage in stages:
        shown = [run / "demonstrations" / f"{stage}{ending}" for ending in (".jsonl", ".sha256")]
        places = (*shown, run / "trajectories" / stage, run / "tensorboard" / stage, run / "checkpoints" / stage)
        yield from (path for path in places if path.exists())
