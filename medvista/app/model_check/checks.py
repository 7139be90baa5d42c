"""What a model has to do before anything is spent on it: engine and trainer agree, and it sees every picture."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch

from medvista.app.model_check.finding import Finding, Verdict
from medvista.app.model_check.trial_episode import TrialEpisode, noise, play_trial
from medvista.app.model_check.vocabulary import vocabulary_findings
from medvista.errors import UserError
from medvista.policies import VLMPolicy
from medvista.policies.adapters import has_adapters
from medvista.policies.precision import computing_in
from medvista.tools import Toolbox, window, zoom
from medvista.types import MedicalImage

_LEAST_CHANGE = 1e-5  # of a log-probability, by which a picture has to be missed
_GAPS = {torch.float32: 1e-3, torch.float64: 1e-3}  # between engine and trainer at most
_GAP_OF_16_BITS = 0.3  # there the order of sums alone moves a log-probability by as much
_QUICK_VIEW = 112  # pixels


def check_model(policy: VLMPolicy, *, view_size: int, precision: str = "32-true") -> list[Finding]:
    """All checks, on an episode with two tools at the size of views that a run would show.

    Args:
        policy: the model, loaded as a run would load it.
        view_size: pixels of the longer side of every picture, as ``env.view_size``.
        precision: that it computes in, as ``trainer.precision``.

    Raises:
        UserError: the model cannot render or read an episode at all; the sentence says why.
    """
    tools = Toolbox([zoom, window]).describe("schemas")
    half = max(1, view_size // 2)
    pictures = [noise(view_size, view_size, 0), noise(half, view_size, 1), noise(view_size, view_size, 2)]
    with _evaluating(policy, precision):
        episode = _play(policy, pictures, tools=tools, tokens=16)
        return [
            _family(policy),
            *vocabulary_findings(policy, tools),
            _tokens(episode),
            _agreement(episode, precision),
            *_sight(episode, tokens=4),
        ]


def hold_to_checks(policy: VLMPolicy, name: str, *, view_size: int, precision: str = "32-true") -> None:
    """The quick form, at the start of a run: one tool, small square pictures, few tokens.

    Args:
        policy: the model.
        name: of it, for the sentence.
        view_size: see `check_model`.
        precision: see `check_model`.

    Raises:
        UserError: a check failed, with the sentence that says what to mend.
    """
    side = min(view_size, _QUICK_VIEW)
    with _evaluating(policy, precision):
        episode = _play(policy, [noise(side, side, 0), noise(side, side, 1)], tools="", tokens=4)
        findings = [*vocabulary_findings(policy, ""), _agreement(episode, precision), *_sight(episode, tokens=2)]
    failed = next((finding for finding in findings if finding.verdict == "FAIL"), None)
    if failed is not None:
        raise UserError(f"{name}: {failed.said} (`medvista check-model {name}` tells all that was checked)")


@contextmanager
def _evaluating(policy: VLMPolicy, precision: str) -> Iterator[None]:
    """The policy without dropout, each of its modules as it was afterwards."""
    training = [module for module in policy.modules() if module.training]
    policy.eval()
    try:
        with computing_in(precision, policy.device):
            yield
    finally:
        for module in training:
            module.training = True


def _play(policy: VLMPolicy, pictures: Sequence[MedicalImage], *, tools: str, tokens: int) -> TrialEpisode:
    try:
        return play_trial(policy, pictures, tools=tools, tokens=tokens)
    except (RuntimeError, ValueError, KeyError, TypeError) as error:  # of the model's own code
        first_line = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise UserError(
            f"the model cannot read an episode of its own rendering ({first_line}); look whether its tokenizer, chat "
            "template and image processor belong to its weights."
        ) from error


def _family(policy: VLMPolicy) -> Finding:
    millions = sum(parameter.numel() for parameter in policy.parameters()) / 1e6
    config = policy.base_model.config
    said = f"{config.model_type}, as {type(policy.family).__name__}; {millions:,.0f} million parameters"
    if has_adapters(policy.model):
        adapters = sum(p.numel() for name, p in policy.named_parameters() if ".lora_" in name)
        said += f", {adapters / 1e6:,.2f} of them in adapters"
    return Finding(check="family", verdict="pass", said=f"{said}, {policy.base_model.dtype}".replace("torch.", ""))


def _tokens(episode: TrialEpisode) -> Finding:
    """Tokens per picture at this size of views."""
    counts = [episode.policy.count_visual_tokens(image) for image in episode.stream.images]
    sizes = dict.fromkeys(
        f"{count} per picture of {image.size[0]} x {image.size[1]}"
        for count, image in zip(counts, episode.shown, strict=True)
    )
    limit = episode.policy.base_model.config.get_text_config().max_position_embeddings
    total = len(episode.stream)
    said = f"{', '.join(sizes)}; {total} in this episode of three turns, of {limit} that the model takes"
    verdict: Verdict = "note" if total > limit else "pass"
    return Finding(check="tokens", verdict=verdict, said=said)


def _agreement(episode: TrialEpisode, precision: str) -> Finding:
    """Whether what the engine sampled has, in the trainer, the probability that the engine says."""
    gaps = episode.gap()
    largest = float(gaps.max())
    in_16_bits = precision.endswith("mixed")
    allowed = _GAP_OF_16_BITS if in_16_bits else _GAPS.get(episode.policy.base_model.dtype, _GAP_OF_16_BITS)
    said = f"log-probabilities of {len(gaps)} tokens differ by {largest:.1e} at most, {allowed:.0e} is allowed"
    if largest <= allowed:
        return Finding(check="engine and trainer", verdict="pass", said=said)
    mend = "updates would learn from ratios that are not 1: load it in float32 with attention 'sdpa', or report it"
    return Finding(check="engine and trainer", verdict="FAIL", said=f"{said}; {mend}")


def _sight(episode: TrialEpisode, tokens: int) -> Iterator[Finding]:
    """Whether each picture that is blanked is missed."""
    for where, changes in (
        ("trainer", episode.change_in_trainer()),
        ("engine", episode.change_in_engine(tokens)),
    ):
        unseen = [str(number) for number, change in enumerate(changes) if change < _LEAST_CHANGE]
        said = f"blanking a picture moves log-probabilities by {min(changes):.1e} at least"
        verdict: Verdict = "pass"
        if unseen:
            verdict = "FAIL"
            said = (
                f"the model does not see picture {', '.join(unseen)} of {len(changes)} in the {where}: blanking it "
                "changes no log-probability; look whether its weights hold a trained vision tower and projector"
            )
        yield Finding(check=f"sight in {where}", verdict=verdict, said=said)
