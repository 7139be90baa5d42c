"""The policies of an evaluation: models that somebody gives, here or behind an endpoint."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from transformers import AutoTokenizer

from medvista.app.config.schema import ExperimentConfig
from medvista.app.loading import loading
from medvista.app.model_check import hold_to_checks
from medvista.evaluation.numbers.arm_scores import Decode
from medvista.policies import VLMPolicy, tokenizer_path


class GivenPolicies:
    """The policies by the names that arms use, ``"policy"`` and ``"untrained"``; one of them in memory at a time."""

    def __init__(self, config: ExperimentConfig) -> None:
        self.config = config
        self._loaded: tuple[str, VLMPolicy] | None = None

    def policy(self, name: str) -> VLMPolicy | None:
        """The policy of a name; None for the one behind an endpoint.

        Raises:
            UserError: nothing can be loaded from there, or the model fails a check.
        """
        path = self._path(name)
        if path is None:
            return None
        if self._loaded is None or self._loaded[0] != path:
            self._loaded = None  # frees the other one first
            self._loaded = (path, VLMPolicy.from_pretrained(path, loading(self.config, trains=False)))
            hold_to_checks(self._loaded[1], path, view_size=self.config.env.view_size)
        return self._loaded[1]

    def decode(self, name: str) -> Decode | None:
        """The policy's token ids to text; None where no token is known."""
        path = self._path(name)
        return None if path is None else decoder(path)

    def _path(self, name: str) -> str | None:
        given = self.config.policy
        return given.untrained if name == "untrained" else given.path


def decoder(path: str | Path) -> Decode:
    """Token ids to text, as the engine that sampled them did, special tokens kept."""
    tokenizer = AutoTokenizer.from_pretrained(tokenizer_path(path), trust_remote_code=False)

    def decode(token_ids: Sequence[int]) -> str:
        return str(tokenizer.decode(list(token_ids), skip_special_tokens=False, clean_up_tokenization_spaces=False))

    return decode
