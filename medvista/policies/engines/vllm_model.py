"""A copy of the policy inside vLLM, in this process: started once, given the policy's weights again and again."""

from __future__ import annotations

import importlib.util
import os
import random
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch

from medvista.errors import UserError
from medvista.policies.adapters import merged_state_dict
from medvista.policies.engines.vllm_folder import write_vllm_folder
from medvista.policies.vlm_policy import VLMPolicy
from medvista.ranks import world_size
from medvista.settings import VLLMConfig

# Blocks of 128 tokens, the default on a processor, are longer than many prompts, of which then nothing is shared.
_ON_CPU = {"block_size": 32, "kv_cache_memory_bytes": 1 << 30, "enforce_eager": True}
_ENVIRONMENT = {
    "VLLM_ENABLE_V1_MULTIPROCESSING": "0",  # in this process, where the weights are
    "VLLM_USE_V2_MODEL_RUNNER": "0",  # whose logits processors have another interface
    "VLLM_CPU_OMP_THREADS_BIND": "nobind",  # training runs in the same threads
    "VLLM_LOGGING_LEVEL": "ERROR",
}


def check_vllm() -> None:
    """Whether vLLM can be used here.

    Raises:
        UserError: it is not installed.
    """
    if importlib.util.find_spec("vllm") is None:
        raise UserError(
            "policy.engine=vllm needs the package vllm, which is not installed here: pip install vllm, on a machine "
            "with a GPU, or leave policy.engine out."
        )


class VLLMModel:
    """vLLM with the architecture of a policy.

    Args:
        policy: whose architecture, tokenizer and image processor it has, and whose weights it begins with.
        config: memory, precision and the like.

    Raises:
        UserError: vLLM is not installed, or cannot serve this model with these settings.
    """

    def __init__(self, policy: VLMPolicy, config: VLLMConfig) -> None:
        check_vllm()
        self.config = config
        self.pushes = 0  # how often weights were handed over: names them, in every cache
        self.holds: object = None  # the weights that vLLM has, as `push` was told
        self._architecture = _architecture(policy)
        self._asleep = False
        self._on_gpu = policy.device.type == "cuda"
        self._devices = [policy.device] if self._on_gpu else []
        with tempfile.TemporaryDirectory(prefix="medvista-vllm-") as folder, _random_state_kept():
            write_vllm_folder(policy, Path(folder))
            self._llm = _start(Path(folder), self._options(policy))
        self._engine = self._llm.llm_engine

    @property
    def longest(self) -> int:
        """Tokens that an episode may have, its next turn included."""
        return int(self._engine.model_config.max_model_len)

    def fits(self, policy: VLMPolicy) -> bool:
        """Whether a policy has the architecture and the vocabulary that vLLM was started with."""
        return _architecture(policy) == self._architecture

    # ---------------------------------------------------------------------------------------------------------- weights

    def push(self, policy: VLMPolicy, weights: object) -> None:
        """Hands over a policy's weights, adapters merged, and forgets everything that was computed with others.

        Args:
            policy: of this architecture.
            weights: stands for them in `holds`.

        Raises:
            RuntimeError: turns are under way, which would go on with other weights.
        """
        if self._engine.has_unfinished_requests():
            raise RuntimeError("weights are handed over between turns, and some are under way")
        self._wake()
        with self._apart(), torch.no_grad():
            if self.config.tensor_parallel_size == 1:
                self._reload(weights_iterator=list(merged_state_dict(policy.base_model)))
            else:  # the weights are in other processes
                with tempfile.TemporaryDirectory(prefix="medvista-vllm-") as folder:
                    write_vllm_folder(policy, Path(folder))
                    self._reload(weights_path=folder)
        self.pushes += 1
        self.holds = weights

    def _reload(self, **given: Any) -> None:
        self._llm.collective_rpc("reload_weights", kwargs=given)
        # With the last alone, an image that vLLM knows raises, and the engine hangs.
        self._engine.reset_encoder_cache()
        self._engine.reset_mm_cache()
        if not self._engine.reset_prefix_cache():
            raise RuntimeError("vLLM did not forget the keys and values of the old weights")

    # ------------------------------------------------------------------------------------------------------------ turns

    def add(self, name: str, prompt: dict[str, Any], expected: Sequence[int], params: Any) -> None:
        """Asks for a turn.

        Args:
            name: of the request.
            prompt: see `VLLMPrompts`.
            expected: the tokens that vLLM has to make of it.
            params: vLLM's own sampling parameters.

        Raises:
            UserError: vLLM makes other tokens of the prompt, or of its images, than the policy did.
        """
        with self._apart():
            (made,) = self._engine.renderer.render_cmpl([prompt])
            if list(made["prompt_token_ids"]) != list(expected):
                raise UserError(
                    f"vLLM reads an image as another number of tokens than the policy ({len(made['prompt_token_ids'])} "
                    f"in the prompt instead of {len(expected)}): use policy.engine=transformers for this model."
                )
            self._engine.add_request(name, made, params)

    def step(self) -> list[Any]:
        """One more token for those that decode; the requests that are complete."""
        with self._apart():
            return [output for output in self._engine.step() if output.finished]

    def abort(self, names: Sequence[str]) -> None:
        """Forgets requests that are under way."""
        self._engine.abort_request(list(names))

    @contextmanager
    def _apart(self) -> Iterator[None]:
        """The trainer's precision does not reach vLLM, and vLLM's draws, some of them unused, not the trainer."""
        with _plain_torch(), torch.random.fork_rng(self._devices):
            yield

    # ----------------------------------------------------------------------------------------------------------- memory

    def sleep(self) -> None:
        """Gives weights and cache back to the GPU, until weights are handed over again; on a processor, nothing."""
        self.holds = None
        if self._on_gpu and not self._asleep:
            self._llm.sleep(level=2)
            self._asleep = True

    def _wake(self) -> None:
        if self._asleep:
            self._llm.wake_up()
            self._asleep = False

    def close(self) -> None:
        """Ends vLLM."""
        self._engine.engine_core.shutdown()

    def _options(self, policy: VLMPolicy) -> dict[str, Any]:
        """How vLLM is started."""
        from medvista.policies.engines.vllm_banned_ids import BANNED

        config = self.config
        of_machine = _ON_CPU if not self._on_gpu else {"enable_sleep_mode": True, "enforce_eager": False}
        given = {"enforce_eager": config.enforce_eager} if config.enforce_eager is not None else {}
        shared = {"gpu_memory_utilization": config.gpu_memory_utilization} if self._on_gpu else {}
        launched = {"distributed_executor_backend": "external_launcher"} if world_size() > 1 else {}
        return {
            "dtype": ("bfloat16" if self._on_gpu else "float32") if config.dtype == "auto" else config.dtype,
            "tensor_parallel_size": config.tensor_parallel_size,
            "max_model_len": config.max_model_len or -1,  # as much as fits
            "limit_mm_per_prompt": {"video": 0},
            "logprobs_mode": "processed_logprobs",  # of the distribution that is sampled from
            "enable_prefix_caching": True,
            "generation_config": "vllm",  # the model's own would change how tokens are drawn
            "logits_processors": ["medvista.policies.engines.vllm_banned_ids:BannedIds"],
            "additional_config": {BANNED: (~policy.allowed_ids).nonzero().flatten().tolist()},
            "disable_log_stats": True,
        } | {**of_machine, **shared, **launched, **given}


def _start(folder: Path, options: dict[str, Any]) -> Any:
    for name, value in _ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    from vllm import LLM

    try:
        with _plain_torch():
            return LLM(model=str(folder), **options)
    except (ValueError, RuntimeError, NotImplementedError) as error:
        lines = str(error).strip().splitlines() or [type(error).__name__]
        raise UserError(
            f"vLLM cannot serve this model with these settings ({lines[-1].strip()}); change policy.vllm, or use "
            "policy.engine=transformers."
        ) from error


def _architecture(policy: VLMPolicy) -> tuple[Any, ...]:
    """What two policies have in common that one vLLM can serve."""
    config = policy.base_model.config
    named = {name: value for name, value in config.to_dict().items() if not name.startswith("_")}
    return named, policy.allowed_ids.tolist(), len(policy.tokenizer)


@contextmanager
def _plain_torch() -> Iterator[None]:
    """Neither the trainer's autocast nor its default precision: vLLM has its own."""
    default = torch.get_default_dtype()
    torch.set_default_dtype(torch.float32)
    try:
        with torch.autocast("cuda", enabled=False), torch.autocast("cpu", enabled=False):
            yield
    finally:
        torch.set_default_dtype(default)


@contextmanager
def _random_state_kept() -> Iterator[None]:
    """Starting vLLM seeds every generator of its process: they are put back."""
    python, numpy = random.getstate(), np.random.get_state()  # noqa: NPY002 - the state that vLLM sets
    with torch.random.fork_rng():
        yield
    random.setstate(python)
    np.random.set_state(numpy)  # noqa: NPY002
