"""Which settings shape a stage of training, or the episodes of an evaluation; kept beside it, compared on resume.

Everything in the configuration shapes a stage unless it is named here as something that does not.
"""

from __future__ import annotations

import hashlib
import inspect
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from medvista.app.config.composition import plain
from medvista.app.config.schema import ExperimentConfig
from medvista.app.questions import Questions
from medvista.data.atomic import replacing
from medvista.errors import UserError
from medvista.rewards import find_term
from medvista.types import VQASample

Settings = Mapping[str, Any]  # dotted key -> plain value

# What no stage and no episode depends on: names and places, what is reported, how fast it goes and in what memory.
# Another processor, number of threads or size of parts changes last digits only.
_NO_INFLUENCE = (
    "arms",
    "benchmarks",
    "cache_dir",
    "collect",
    "data.root",  # the questions read from it are compared instead
    "data.test_images",
    "description",
    "direct.pack_tokens",  # the same gradient
    "direct.path",  # the file's content is compared instead
    "env.burned_in_text",
    "env.tools_cache_mb",
    "env.tools_concurrency",
    "env.tools_executor",
    "env.tools_memory_mb",
    "env.tools_ray_address",
    "env.workers",
    "evaluation",
    "experiment",
    "output_dir",
    "overrides",
    "policy.cache_tokens",
    "policy.endpoint",
    "policy.language_model",  # the model's identity is compared instead
    "policy.path",  # the model's identity is compared instead
    "policy.untrained",
    "policy.vllm.enforce_eager",
    "policy.vllm.gpu_memory_utilization",
    "policy.vllm.max_model_len",  # ends a run, or has done nothing
    "policy.vllm.tensor_parallel_size",
    "pretrain.rebuild",
    "resume",
    "rl.check_batches",
    "rl.decomposition",
    "rl.engine_tolerance",
    "rl.monitor",
    "sft.pack_tokens",
    "sft.path",
    "sweep",
    "task",
    "trainer.accelerator",
    "trainer.checkpoint_every",
    "trainer.keep_checkpoints",
    "trainer.max_nonfinite_steps",  # ends a stage, or has done nothing
    "trainer.devices",  # numbers are the same on any number of processes, see docs/processes.md
    "trainer.gpu",
    "trainer.gradient_checkpointing",
    "trainer.micro_batch_tokens",
    "trainer.num_nodes",
    "trainer.share_prompts",
    "trainer.strategy",
    "trainer.threads",
    "trainer.timeout_minutes",
)
_AMOUNT_COLLECTED = ("collect.batch_size", "collect.per_question", "collect.questions", "collect.samples")
_OF_SOME_STAGES = ("direct", "sft", "rl", "rejection")  # sections; of all others every stage depends
SECTIONS: Mapping[str, Sequence[str]] = {
    "direct": ("direct",),
    "tools_unused": ("direct",),
    "blind": ("direct",),
    "direct_rl": ("direct", "rl"),
    "sft": ("sft",),
    "sft_rl": ("sft", "rl"),
    "sft_longer": ("sft", "rl"),
    "sft_rejection": ("sft", "rl", "rejection"),
}
# What has no influence by itself, but what is read from there has.
_PLACES = ("data.root", "direct.path", "policy.language_model", "policy.path", "policy.untrained", "sft.path")
_OF_TRAINING_QUESTIONS = tuple(
    f"data.{name}" for name in ("train_images", "validation_images", "more_benchmarks", "exclude_test_images")
)
_OF_TRAINING = ("pretrain", "trainer", "data.train_images", "data.validation_images", "data.limit", "rejection")


STAGES = tuple(SECTIONS)


def stage_settings(config: ExperimentConfig, stage: str, questions: Questions, base: str) -> Settings:
    """All that shapes a stage's policy.

    Args:
        config: of the run.
        stage: its name.
        questions: that are trained and validated on; their content counts, not the folder they were read from.
        base: identity of the base model.
    """
    sections = SECTIONS[stage]
    left_out = (*_NO_INFLUENCE, *(name for name in _OF_SOME_STAGES if name not in sections))
    found = dict(_flat(config, left_out))
    for name in ("direct", "sft"):
        path = getattr(config, name).file
        if name in sections and path is not None:
            found[f"{name}.path (its content)"] = _digest(path.read_bytes())
    if "rl" in sections:
        found |= _own_terms(config)
    validation = [sample for samples in questions.validation.values() for sample in samples]
    return found | {
        "the base model": base,
        "the training questions": _questions_digest(questions.train),
        "the validation questions": _questions_digest(validation),
    }


def episode_settings(config: ExperimentConfig) -> Settings:
    """All that shapes test episodes, beside the weights of trained policies and the text of each question."""
    left_out = (*_NO_INFLUENCE, *_OF_SOME_STAGES, *_OF_TRAINING, "policy")
    found = dict(_flat(config, left_out))
    if config.task == "evaluate":
        found |= {f"policy.{name}": value for name, value in _leaves(plain(config)["policy"], "")}
    found |= {f"rl.reward.{name}": weight for name, weight in config.rl.reward.items()}
    found |= {f"rl.reward_options.{name}": dict(given) for name, given in config.rl.reward_options.items()}
    found |= _own_terms(config)
    found["evaluation.counterfactual_seed"] = config.evaluation.counterfactual_seed
    found["trainer.precision"] = config.trainer.precision
    return found


def collection_settings(config: ExperimentConfig) -> Settings:
    """All that shapes the episodes of a collection; how many there are may change from run to run."""
    left_out = {*_NO_INFLUENCE, *_OF_SOME_STAGES, *_OF_TRAINING, "evaluation", "rl", *_AMOUNT_COLLECTED}
    found = dict(_flat(config, [*(left_out - {"collect", "policy.path"})]))
    if config.policy.endpoint is not None:
        endpoint = config.policy.endpoint
        found |= {"policy.endpoint": {"url": endpoint.url, "model": endpoint.model, "body": dict(endpoint.body)}}
    if config.collect.teacher == "expert":
        found |= dict(_leaves(plain(config)["sft"]["expert"], "sft.expert."))
    return found


def run_settings(config: ExperimentConfig) -> Settings:
    """All that shapes the numbers of a run of a sweep, beside its seed and its arms."""
    reported = ("evaluation",)
    found = dict(_flat(config, (*(name for name in _NO_INFLUENCE if name not in reported), "seed")))
    return found | {"data.test_images": config.data.test_images}


def configured_stage(config: ExperimentConfig, stage: str) -> Settings:
    """`stage_settings` as far as the configuration tells: places stand for the content that is read from them."""
    sections = SECTIONS[stage]
    left_out = (*_no_influence_but(*_PLACES), *(name for name in _OF_SOME_STAGES if name not in sections))
    return {**dict(_flat(config, left_out)), **(_own_terms(config) if "rl" in sections else {})}


def configured_arm(config: ExperimentConfig, stage: str | None) -> Settings:
    """All that shapes an arm's answers on test, as far as the configuration tells.

    Args:
        config: of the run.
        stage: whose policy is asked; None for an arm that is no policy.
    """
    policy = configured_stage(config, stage) if stage is not None and stage in SECTIONS else {}
    left_out = (*_no_influence_but(*_PLACES, "evaluation"), *_OF_SOME_STAGES)
    return {**policy, **dict(_flat(config, left_out)), **questions_asked(config)}


def questions_asked(config: ExperimentConfig) -> Settings:
    """All that says which questions the test asks, as far as the configuration tells."""
    asked, trained_on = ("benchmarks", "data", "evaluation.clean_subset"), _OF_TRAINING_QUESTIONS
    return {key: value for key, value in _flat(config, trained_on) if key in asked or key.startswith("data.")}


def _no_influence_but(*names: str) -> Iterator[str]:
    return (name for name in _NO_INFLUENCE if name not in names)


def differences(before: Settings, now: Settings) -> list[str]:
    """What differs, one phrase per key.

    >>> differences({"sft.steps": 130, "seed": 0}, {"sft.steps": 150, "seed": 0})
    ['sft.steps was 130 and is 150']
    """
    missing = "not set"
    return [
        f"{key} was {before.get(key, missing)} and is {now.get(key, missing)}"
        for key in sorted({*before, *now})
        if before.get(key, missing) != now.get(key, missing)
    ]


def write_settings(path: Path, settings: Settings) -> None:
    """Keeps the settings beside what they shape, with their hash."""
    path.parent.mkdir(parents=True, exist_ok=True)
    text = json.dumps(settings, sort_keys=True)
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as file:
        file.write(json.dumps({"sha256": _digest(text.encode()), "settings": settings}, indent=1).encode())


def read_settings(path: Path) -> Settings | None:
    """What `write_settings` wrote; None where there is no such file.

    Raises:
        UserError: the file is damaged.
    """
    if not path.exists():
        return None
    try:
        kept = json.loads(path.read_text())
        settings: dict[str, Any] = kept["settings"]
        whole = kept["sha256"] == _digest(json.dumps(settings, sort_keys=True).encode())
    except (OSError, ValueError, KeyError, TypeError):
        whole = False
    if not whole:
        raise UserError(f"{path} is damaged: delete the folder {path.parent} to do that part again.")
    return settings


def _flat(config: ExperimentConfig, left_out: Sequence[str]) -> Iterator[tuple[str, Any]]:
    """Dotted keys and plain values, without those that are left out or lie below one."""
    for key, value in _leaves(plain(config), ""):
        if not any(key == name or key.startswith(f"{name}.") for name in left_out):
            yield key, value


def _leaves(values: Mapping[str, Any], prefix: str) -> Iterator[tuple[str, Any]]:
    for key, value in values.items():
        if isinstance(value, Mapping) and value:
            yield from _leaves(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def _own_terms(config: ExperimentConfig) -> Settings:
    """The content of the files that a person's own reward terms stand in."""
    own = {name: inspect.getsourcefile(find_term(name)) for name in config.rl.reward if "." in name}
    return {f"rl.reward.{name} (its code)": _digest(Path(file).read_bytes()) for name, file in own.items() if file}


def _questions_digest(samples: Sequence[VQASample]) -> str:
    asked = [[s.id, s.question, list(s.answers), list(s.choices), s.group_id] for s in samples]
    return _digest(json.dumps(asked).encode())


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()[:16]
