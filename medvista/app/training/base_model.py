"""The base model: the policy before any episode, a hub model or one made here, which learned to see first.

The nano model of the shipped recipe comes with the package; that of any other recipe, and a language model with a
vision tower of ours (``policy.language_model``), is trained once and kept in ``cache_dir``. ``pretrain.rebuild=true``
trains it whatever there is.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import asdict
from functools import cached_property
from pathlib import Path
from typing import Any

import medvista
from medvista.app.config.composition import config_hash
from medvista.app.loading import loading
from medvista.app.players import Players
from medvista.app.training.pretraining import corpus, pretrain_captions, pretrain_vision
from medvista.data.phantoms import RENDERER_VERSION
from medvista.policies import VLMPolicy, assemble, build_nano, read_base
from medvista.ranks import agreed, led

SHIPPED = Path(medvista.__file__).parent / "assets" / "nano"
_HERE = "trained in this run"
_LATER: Mapping[str, Any] = {"name": "adamw", "learning_rates": {}}  # keys of an optimiser that recipes leave out
_READ_WHOLE = 2**20  # bytes; of larger files only the size counts in a model's identity


class BaseModel:
    """Where every arm starts from.

    Args:
        players: of the run.
    """

    def __init__(self, players: Players) -> None:
        self.players = players
        self.config = players.config
        self._waiting: VLMPolicy | None = None

    def policy(self) -> VLMPolicy:
        """The model itself; one made here that is neither shipped nor kept is trained first."""
        if self._waiting is not None:
            policy, self._waiting = self._waiting, None
            return policy
        return VLMPolicy.from_pretrained(self.path, loading(self.config))

    def keep(self, policy: VLMPolicy | None) -> None:
        """Hands a policy that was loaded to be looked at to whoever asks next, so that it is not read twice.

        Args:
            policy: as it was loaded; None forgets the one that waits.
        """
        self._waiting = policy

    @cached_property
    def path(self) -> Path | str:
        """The folder of the model, or its hub id."""
        if self.config.policy.path is not None:
            return self.config.policy.path
        if not self.config.pretrain.rebuild and self.is_shipped:
            return SHIPPED
        kept = self._kept
        if agreed(self.config.pretrain.rebuild or not (kept / "config.json").exists()):
            led(lambda: self._train(kept))
        return kept

    @property
    def origin(self) -> str:
        """Where the model comes from, in a word or two for a person."""
        if self.config.policy.path is not None:
            return self.config.policy.path
        if self.config.pretrain.rebuild:
            return _HERE
        if self.is_shipped:
            return "shipped"
        return "kept from an earlier run" if (self._kept / "config.json").exists() else _HERE

    @property
    def is_trained_here(self) -> bool:
        """Whether this run trains it."""
        return self.origin == _HERE

    @property
    def is_shipped(self) -> bool:
        """Whether the package holds the model of this recipe."""
        return self.config.policy.path is None and self.recipe == shipped_recipe()

    @property
    def _kept(self) -> Path:
        """Where a model made here is kept for other runs."""
        kind = "nano" if self.config.policy.language_model is None else "assembled"
        return self.config.cache_dir / f"{kind}-{self.recipe}"

    @cached_property
    def recipe(self) -> str:
        """The hash of all that shapes a model made here: its parts, pre-training, vocabulary, renderer of phantoms."""
        pretrain = {name: value for name, value in asdict(self.config.pretrain).items() if name != "rebuild"}
        pretrain["caption_optimiser"] = _without_defaults(pretrain["caption_optimiser"])
        language_model = self.config.policy.language_model
        text = {"corpus": self._corpus} if language_model is None else {"language_model": _digest(language_model)}
        return config_hash({"pretrain": pretrain, "nano": self.config.policy.nano, "renderer": RENDERER_VERSION} | text)

    @cached_property
    def identity(self) -> str:
        """What two runs must share to have started from the same model."""
        path = self.config.policy.path
        if path is None:
            return self._kept.name.replace("-", " ")
        own = _digest(Path(path)) if Path(path).is_dir() else path
        base = read_base(path)  # of adapters
        if base is None:
            return own
        return f"{own} on {_digest(Path(base)) if Path(base).is_dir() else base}"

    def keep_logs(self, run: Path) -> None:
        """Copies the curves of the pre-stage, where there are any, beside those of the run's stages."""
        logs = Path(self.path) / "logs"
        if logs.is_dir():
            for part in sorted(logs.iterdir()):
                shutil.copytree(part, run / "checkpoints" / "base" / part.name, dirs_exist_ok=True)

    def _untrained(self) -> VLMPolicy:
        """The model made here before it has seen anything."""
        nano, seed = self.config.policy.nano, self.config.pretrain.seed
        if self.config.policy.language_model is not None:
            return assemble(self.config.policy.language_model, nano, seed=seed)
        return build_nano(self._corpus, nano, seed=seed)

    @cached_property
    def _corpus(self) -> list[str]:
        return list(corpus(self.players))

    def _train(self, folder: Path) -> None:
        """Trains and saves in one move, since the runs of a sweep share the cache and may train at the same time."""
        config = self.config.pretrain
        policy = self._untrained()
        folder.parent.mkdir(parents=True, exist_ok=True)
        staging = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", dir=folder.parent))
        if config.steps:
            pretrain_vision(self.players, policy, staging / "logs")
        if config.caption_steps:
            pretrain_captions(self.players, policy, staging / "logs")
        policy.save_pretrained(staging)
        if config.rebuild:
            shutil.rmtree(folder, ignore_errors=True)
        try:
            os.rename(staging, folder)
        except OSError:  # another run was first: the same recipe, so the same weights
            shutil.rmtree(staging)


def _without_defaults(optimiser: Mapping[str, Any]) -> dict[str, Any]:
    """An optimiser without the keys that came after the first recipes, where they say what was always done."""
    return {name: value for name, value in optimiser.items() if name not in _LATER or value != _LATER[name]}


def shipped_recipe() -> str:
    """The recipe of the shipped model."""
    return str(shipped_card()["recipe"])


def shipped_card() -> dict[str, Any]:
    """What is recorded of the shipped model: its recipe, and what it reached on held-out views."""
    card: dict[str, Any] = json.loads((SHIPPED / "recipe.json").read_text())
    return card


def _digest(model: Path) -> str:
    """Names and sizes of a model's files, and the content of small ones: weights of many GB are not read for it."""
    found = hashlib.sha256()
    files = [model] if model.is_file() else sorted(path for path in model.rglob("*") if path.is_file())
    for path in files:
        size = path.stat().st_size
        found.update(f"{path.relative_to(model.parent if model.is_file() else model).as_posix()} {size}\n".encode())
        if size <= _READ_WHOLE:
            found.update(path.read_bytes())
    return f"{model.name} {found.hexdigest()[:16]}"
