"""Generation by vLLM, in this process: continuous batching and paged attention, with the policy's weights of now.

Siblings share the keys and values of their prompt, and an episode those of its earlier turns, by vLLM's prefix cache;
so each turn is a request of its own, with the whole stream. vLLM computes with other kernels, and on a GPU in another
precision, than the trainer does: `train/engine_gap` tells by how much, and importance weights correct for it.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

import numpy as np

from medvista.errors import UserError
from medvista.policies.engines.base import Engine, GenerationRequest, SamplingParams
from medvista.policies.engines.completed_turns import completed_turns
from medvista.policies.engines.vllm_model import VLLMModel
from medvista.policies.engines.vllm_prompt import VLLMPrompts
from medvista.policies.vlm_policy import VLMPolicy
from medvista.types import Completion


class VLLMEngine(Engine):
    """Generates a policy's turns in vLLM.

    Every rollout begins with the policy's weights as they are then: they are handed over before its first turn, and
    with `release` vLLM counts them as old, and gives its memory on the GPU to the trainer. A turn's draws depend on its
    own seed, whatever shares its batch, up to the rounding of the logits.

    Args:
        policy: whose weights are used.
        model: of the same architecture; engines may share one, taking turns.
    """

    def __init__(self, policy: VLMPolicy, model: VLLMModel) -> None:
        self.policy = policy
        self.model = model
        self.version: int | None = None
        self.prompt_tokens = 0  # of all turns asked for
        self.cached_tokens = 0  # of those, the ones whose keys and values vLLM had
        self._prompts = VLLMPrompts(policy)
        self._weights = object()  # stands for the policy's weights of now
        self._asked: dict[str, GenerationRequest] = {}
        self._numbers = itertools.count()

    def submit(self, requests: Sequence[GenerationRequest], params: SamplingParams) -> None:
        """See `Engine`.

        Raises:
            UserError: an episode has become longer than vLLM was started for, or it reads a prompt otherwise.
        """
        if requests and self.model.holds is not self._weights:
            self.model.push(self.policy, self._weights)
        for request in requests:
            self._check_length(request, params)
            name = f"{request.episode}-{next(self._numbers)}"
            prompt = self._prompts(request.trajectory, str(self.model.pushes))
            self.model.add(name, prompt, request.trajectory.stream.token_ids, self._drawn(request, params))
            self._asked[name] = request

    def poll(self, wait_s: float = 0.0) -> list[tuple[int, Completion]]:
        """One more token for each running episode; see `Engine`."""
        if not self._asked:
            return []
        ended = self.model.step()
        episodes = [self._asked.pop(output.request_id).episode for output in ended]
        self.prompt_tokens += sum(len(output.prompt_token_ids) for output in ended)
        self.cached_tokens += sum(output.num_cached_tokens or 0 for output in ended)
        turns = [output.outputs[0] for output in ended]
        ids = [list(turn.token_ids) for turn in turns]
        log_probs = [
            [found[token].logprob for token, found in zip(turn.token_ids, turn.logprobs, strict=True)] for turn in turns
        ]
        return list(zip(episodes, completed_turns(self.policy, ids, log_probs, self.version), strict=True))

    @property
    def busy(self) -> bool:
        """See `Engine`."""
        return bool(self._asked)

    def release(self, episodes: Sequence[int] | None = None) -> None:
        """Forgets turns that nobody will take; None also lets vLLM sleep. Its prefix cache makes room by itself."""
        gone = None if episodes is None else set(episodes)
        names = [name for name, request in self._asked.items() if gone is None or request.episode in gone]
        self.model.abort(names)
        for name in names:
            del self._asked[name]
        if episodes is None:
            self._weights = object()
            self.model.sleep()

    def update_weights(self, version: int) -> None:
        """See `Engine`; they are handed over when the next turn is asked for."""
        self.release()
        self.version = version

    def _check_length(self, request: GenerationRequest, params: SamplingParams) -> None:
        length = len(request.trajectory.stream) + params.max_new_tokens
        if length > self.model.longest:
            raise UserError(
                f"an episode about {request.trajectory.sample.id} takes {length} tokens with its next turn, and vLLM "
                f"was started for {self.model.longest}: raise policy.vllm.max_model_len or gpu_memory_utilization, or "
                "lower env.max_turns or env.view_size."
            )

    def _drawn(self, request: GenerationRequest, params: SamplingParams) -> Any:
        """How vLLM draws the tokens of a turn."""
        import vllm
        from vllm.sampling_params import RequestOutputKind

        seed = int(np.random.SeedSequence(request.seed).generate_state(1, np.uint64)[0] >> np.uint64(1))
        return vllm.SamplingParams(
            temperature=params.temperature,
            seed=seed if params.temperature else None,
            max_tokens=params.max_new_tokens,
            stop_token_ids=list(self.policy.turn_ends.ids),
            ignore_eos=True,  # what ends a turn says the family, not the tokenizer
            logprobs=0,  # of the token that was sampled
            detokenize=False,
            output_kind=RequestOutputKind.FINAL_ONLY,
        )
