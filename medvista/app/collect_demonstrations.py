"""`task=collect`: episodes of a teacher in our environment, those worth learning from kept in a folder with a card."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

import lightning
import numpy as np

from medvista.app.collecting.collection import STAGE, Collection
from medvista.app.collecting.costs import Costs
from medvista.app.collecting.dataset_card import CARD, MESSAGES, Facts, dataset_card
from medvista.app.collecting.refinement import Refinement
from medvista.app.collecting.shared_images import shared_with_test
from medvista.app.collecting.teachers import make_teacher
from medvista.app.config.schema import ExperimentConfig
from medvista.app.config.sft_schema import DEMONSTRATIONS
from medvista.app.players import Players
from medvista.app.progress import Progress, Work
from medvista.app.questions import Questions
from medvista.app.quiet_libraries import quiet_libraries
from medvista.app.run_folder import prepare_folder
from medvista.app.run_lock import run_lock
from medvista.app.stage_settings import collection_settings, differences, read_settings, write_settings
from medvista.app.start_checks import warn_at_start
from medvista.app.terminal import say
from medvista.data.answer_text import with_answers
from medvista.data.atomic import write_whole
from medvista.data.chat_messages import write_messages
from medvista.errors import UserError
from medvista.notices import NOTICES
from medvista.types import VQASample


def run_collection(config: ExperimentConfig) -> None:
    """Collects demonstrations into ``config.output_dir``; ``resume=true`` goes on with what is there."""
    NOTICES.clear()
    quiet_libraries(config.trainer.threads)
    lightning.seed_everything(config.seed, verbose=False)
    with run_lock(config.output_dir), closing(Players(config, Questions(config))) as players:
        players.toolbox("tools")
        samples = questions_to_ask(players.questions)
        warn_at_start(players.questions)
        _check_settings(config)
        teacher = make_teacher(players)
        shared = shared_with_test(players.questions, samples)
        prepare_folder(config)  # not before every input is known to be good: it moves an earlier run aside
        write_settings(_settings_file(config), collection_settings(config))
        costs = Costs(config.output_dir, players.endpoint if _asks_endpoint(config) else None)
        made = Collection(config.collect, teacher, Refinement(players), config.output_dir, config.seed, costs)
        with closing(made):
            complete = False
            try:
                _collect(made, samples, config)
                complete = True
            finally:
                facts = Facts(teacher=teacher.name, cost=costs.line(), shared_images=shared, complete=complete)
                _describe(players, made, facts)


def _collect(made: Collection, samples: Sequence[VQASample], config: ExperimentConfig) -> None:
    progress = Progress([Work(name=STAGE, units=len(samples) * config.collect.samples, unit="episode")])
    try:
        made.collect(samples, progress)
    except UserError as error:
        raise UserError(f"{error} What was collected so far is kept: resume=true goes on.") from error
    finally:
        progress.close()


def _describe(players: Players, made: Collection, facts: Facts) -> None:
    """Writes what others read of a collection, also of one that was cut short."""
    config, folder = players.config, players.config.output_dir
    kept = write_messages(folder / DEMONSTRATIONS, folder / MESSAGES, players.toolbox("tools").describe("schemas"))
    write_whole(folder / CARD, dataset_card(config, made.attempts, facts))
    for sentence in (f"{kept:,} demonstrations of {len(made.attempts):,} episodes; {facts.cost}", *facts.shared_images):
        say(sentence)
    say(f"{folder / CARD}   what is in it, and how it came to be")


def questions_to_ask(questions: Questions) -> Sequence[VQASample]:
    """The questions of the split that is collected from, in an order of which any beginning is a random sample.

    Raises:
        UserError: there is none with an answer.
    """
    config = questions.config
    if config.collect.split == "train":
        found = questions.train
    else:
        by_benchmark = questions.test if config.collect.split == "test" else questions.validation
        found = with_answers([sample for samples in by_benchmark.values() for sample in samples])
    if not found:
        raise UserError(f"there is no {config.collect.split} question with an answer: ask another collect.split.")
    order = np.random.default_rng(config.seed).permutation(len(found))
    return [found[index] for index in order[: config.collect.questions or None]]


def _asks_endpoint(config: ExperimentConfig) -> bool:
    return config.collect.teacher == "endpoint" or config.collect.rationales


def _settings_file(config: ExperimentConfig) -> Path:
    return config.output_dir / "settings.json"


def _check_settings(config: ExperimentConfig) -> None:
    """Refuses to go on with what was collected otherwise: a card could not say what is in the folder."""
    before = read_settings(_settings_file(config)) if config.resume else None
    changed = [] if before is None else differences(before, collection_settings(config))
    if changed:
        raise UserError(
            f"resume={str(config.resume).lower()}: {config.output_dir} was collected with other settings: "
            f"{'; '.join(changed[:4])}. Give the same settings, or another output_dir."
        )
