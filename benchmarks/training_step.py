"""What a training step takes in memory and time: log-probabilities in chunks, and gradient checkpointing.

Run it on a quiet machine with 8 GiB, in about two minutes:

    python -m benchmarks.training_step

Log-probabilities and entropies of 2,048 tokens over a vocabulary of 151,936 (Qwen's), forward and backward, from the
hidden states: as everybody writes it first, with all logits at once, and as a policy computes them. Then forward and
backward of a policy of eight layers on long rows, with and without gradient checkpointing. The last line is JSON:

* ``memory_ratio``: peak bytes of tensors, ours over all at once: at most 0.25;
* ``time_ratio``: seconds, ours over all at once; backward computes the logits again, for about a third more work;
* ``max_error``: largest difference of values and gradients, over the largest value: at most 1e-5;
* ``checkpointing_ratio``: bytes kept from forward to backward, with checkpointing over without: at most 0.5.

Weights, and gradients of hidden states, count on both sides; `benchmarks.live_bytes` does not see what the allocator of
a device adds.
"""

from __future__ import annotations

import argparse
import copy
import json
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor, nn

from benchmarks.live_bytes import LiveBytes
from medvista.functional.log_probs import chosen_log_probs
from medvista.modules.gradient_checkpointing import training_modes
from medvista.policies import NanoConfig, VLMPolicy, build_nano
from medvista.rollout import TokenBatch
from medvista.types import TokenStream

MIB = 2**20


@dataclass(frozen=True, kw_only=True)
class Scoring:
    """Hidden states and what is asked of them."""

    hidden: Tensor  # [K, D]
    head: nn.Linear  # D -> V
    ids: Tensor  # [K]
    allowed: Tensor  # [V]

    @classmethod
    def random(cls, tokens: int, vocabulary: int, width: int) -> Scoring:
        """Random states and weights at which probabilities are far from uniform."""
        generator = torch.Generator().manual_seed(0)
        allowed = torch.ones(vocabulary, dtype=torch.bool)
        allowed[-vocabulary // 500 :] = False  # special tokens and padding
        head = nn.Linear(width, vocabulary, bias=False)
        nn.init.normal_(head.weight, std=3 * width**-0.5, generator=generator)
        return cls(
            hidden=torch.randn(tokens, width, generator=generator).requires_grad_(),
            head=head,
            ids=torch.randint(vocabulary - vocabulary // 500 - 1, (tokens,), generator=generator),
            allowed=allowed,
        )


class Scores(NamedTuple):
    """What an implementation gives."""

    log_probs: Tensor  # [K]
    entropy: Tensor  # [K], without gradient
    of_hidden: Tensor  # gradient [K, D]
    of_head: Tensor  # gradient [V, D]


Implementation = Callable[[Scoring], tuple[Tensor, Tensor]]


def all_at_once(work: Scoring) -> tuple[Tensor, Tensor]:
    """The plain implementation, with one tensor of all logits after another."""
    log_softmax = work.head(work.hidden).masked_fill(~work.allowed, float("-inf")).log_softmax(dim=-1)
    with torch.no_grad():
        entropy = -(log_softmax.exp() * log_softmax.masked_fill(~work.allowed, 0.0)).sum(dim=-1)
    return log_softmax.gather(-1, work.ids[:, None]).squeeze(-1), entropy


def in_chunks(work: Scoring) -> tuple[Tensor, Tensor]:
    """What policies compute."""
    return chosen_log_probs(work.head, work.hidden, work.ids, work.allowed, entropy="value")


def forward_and_backward(implementation: Implementation, work: Scoring) -> Scores:
    """Scores, and the gradients of a loss in which each token has another weight."""
    log_probs, entropy = implementation(work)
    weights = torch.linspace(-1, 1, len(log_probs))
    gradients = torch.autograd.grad((weights * log_probs).sum(), [work.hidden, work.head.weight])
    return Scores(log_probs.detach(), entropy, *gradients)


def error(found: Scores, expected: Scores) -> float:
    """Largest difference, over the largest value of its kind."""
    pairs = zip(found, expected, strict=True)
    return max(float((one - other).abs().max() / other.abs().max()) for one, other in pairs)


def watched(implementation: Implementation, work: Scoring) -> tuple[Scores, int]:
    """The scores, and the bytes that forward and backward take at the worst moment."""
    with LiveBytes() as bytes_:
        scores = forward_and_backward(implementation, work)
    return scores, bytes_.peak


def seconds(implementation: Implementation, work: Scoring, repeats: int) -> float:
    """The median run of forward and backward."""
    taken = []
    for _ in range(repeats):
        start = time.perf_counter()
        forward_and_backward(implementation, work)
        taken.append(time.perf_counter() - start)
    return statistics.median(taken)


def compare(work: Scoring, repeats: int) -> dict[str, float]:
    """Both implementations on the same work, as a table; the ratios and the error."""
    scores, peaks, times = [], [], []
    print(f"{'':<34}{'MiB':>9}{'seconds':>9}", flush=True)
    for implementation in (all_at_once, in_chunks):
        found, peak = watched(implementation, work)
        scores.append(found)
        peaks.append(peak)
        times.append(seconds(implementation, work, repeats))
        name = f"log-probabilities, {implementation.__name__.replace('_', ' ')}"
        print(f"{name:<34}{peaks[-1] / MIB:>9.0f}{times[-1]:>9.2f}", flush=True)
    (plain, ours), (plain_s, ours_s) = peaks, times
    return {"memory_ratio": ours / plain, "time_ratio": ours_s / plain_s, "max_error": error(scores[1], scores[0])}


# -------------------------------------------------------------------------------------------------------- checkpointing


def deep_policy(layers: int) -> VLMPolicy:
    """A policy of the nano model's kind, as deep as told."""
    return build_nano(["What is shown? A nodule."], NanoConfig(layers=layers, vocab_size=400))


def long_rows(policy: VLMPolicy, rows: int, tokens: int) -> TokenBatch:
    """Rows of text, the last eighth of which was written by the policy."""
    words = policy.allowed_ids.nonzero().flatten()
    drawn = torch.randint(len(words), (rows, tokens), generator=torch.Generator().manual_seed(0))
    mask = (False,) * (tokens - tokens // 8) + (True,) * (tokens // 8)
    streams = [TokenStream(token_ids=tuple(row), loss_mask=mask) for row in words[drawn].tolist()]
    return TokenBatch.from_streams(streams)


def kept_bytes(policy: VLMPolicy, batch: TokenBatch, *, checkpointing: bool) -> int:
    """What stays in memory from forward to backward."""
    policy = copy.deepcopy(policy)
    training_modes(policy, checkpointing=checkpointing)
    with LiveBytes() as bytes_:
        loss = batch.log_probs(policy)[0].sum()
        kept = bytes_.now
        loss.backward()
    return kept


# --------------------------------------------------------------------------------------------------------- command line


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure and print; the last line is JSON."""
    options = _parser().parse_args(arguments)
    work = Scoring.random(options.tokens, options.vocabulary, options.width)
    figures = compare(work, options.repeats)
    policy = deep_policy(options.layers)
    batch = long_rows(policy, options.rows, options.row_tokens)
    kept = {with_it: kept_bytes(policy, batch, checkpointing=with_it) for with_it in (False, True)}
    for with_it, size in kept.items():
        print(f"{'kept for backward, checkpointing' if with_it else 'kept for backward':<34}{size / MIB:>9.1f}")
    figures["checkpointing_ratio"] = kept[True] / kept[False]
    print(json.dumps({name: float(f"{value:.4g}") for name, value in figures.items()}))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.training_step", description="Memory and time of log-probabilities and of a step."
    )
    parser.add_argument("--tokens", type=int, default=2048, help="positions that are scored (%(default)s)")
    parser.add_argument("--vocabulary", type=int, default=151_936, help="ids (%(default)s)")
    parser.add_argument("--width", type=int, default=64, help="of the hidden states (%(default)s)")
    parser.add_argument("--repeats", type=int, default=3, help="timed runs of each implementation (%(default)s)")
    parser.add_argument("--layers", type=int, default=8, help="of the policy that checkpoints (%(default)s)")
    parser.add_argument("--rows", type=int, default=4, help="that it is given (%(default)s)")
    parser.add_argument("--row-tokens", type=int, default=512, help="of each of them (%(default)s)")
    return parser


if __name__ == "__main__":
    main()
