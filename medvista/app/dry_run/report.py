"""`--dry-run`: everything a run needs is looked at, and nothing is trained."""

from __future__ import annotations

import json

from medvista.app.config.schema import ExperimentConfig
from medvista.app.dry_run.architecture import Architecture, find_architecture
from medvista.app.dry_run.gpus import DEFAULT, GPUS, here
from medvista.app.dry_run.layout import trained_parameters, training_layout, update_of
from medvista.app.dry_run.memory import memory_by_kind, peak_gib
from medvista.app.dry_run.pace import FORMULA, seconds_per_update
from medvista.app.dry_run.problems import Finding, look
from medvista.app.dry_run.token_counts import EpisodeTokens, episode_tokens
from medvista.app.quiet_libraries import quiet_libraries
from medvista.app.terminal import wrapped
from medvista.app.toolboxes import find_tools
from medvista.errors import UserError
from medvista.policies.families import family_class
from medvista.tools import Toolbox


def dry_run(config: ExperimentConfig) -> int:
    """Prints what was found and what is to be expected; the last line is JSON.

    Returns:
        The exit code: 1 if there is a mistake, or the model does not fit.
    """
    quiet_libraries(config.trainer.threads)
    findings = look(config)
    numbers: dict[str, object] = {"parameters": None, "gib_per_gpu": None, "fits": None}
    try:
        lines, numbers = _model(config, findings)
    except UserError as error:
        findings, lines = [*findings, Finding(what="model", sentence=str(error), is_mistake=True)], []
    for finding in findings:
        print(wrapped(f"{_sign(finding):<8} {finding.what}: {finding.sentence}", " " * 9))
    for line in lines:
        print(wrapped(line, "  "))
    mistakes = sum(finding.is_mistake for finding in findings)
    absent = sum(finding.is_absent for finding in findings)
    print(json.dumps({**numbers, "mistakes": mistakes, "absent": absent}))
    return int(mistakes > 0 or numbers["fits"] is False)


def _sign(finding: Finding) -> str:
    return "mistake" if finding.is_mistake else "absent" if finding.is_absent else "ok"


def _model(config: ExperimentConfig, findings: list[Finding]) -> tuple[list[str], dict[str, object]]:
    """What the model takes and how fast it may go; findings are added to."""
    if config.policy.path is None:
        raise UserError("a dry run reckons with a model of policy.path; the nano model fits everywhere.")
    architecture = find_architecture(config.policy.path)
    findings.append(Finding(what="model", sentence=f"{config.policy.path}, from {architecture.source}"))
    episode = _episode(config, architecture)
    findings.append(_token_budget(config, architecture, episode))
    parameters, outside = architecture.parameters, architecture.outside_layers
    trained = trained_parameters(architecture, config)
    layout = training_layout(config, parameters=parameters, outside=outside, trained=trained, episode=episode)
    kind = config.trainer.gpu or here() or DEFAULT
    if kind not in GPUS:
        raise UserError(f"trainer.gpu has no '{kind}': use one of {', '.join(GPUS)}.")
    by_kind = memory_by_kind(architecture.text, layout)
    peak, gpu = peak_gib(by_kind), GPUS[kind]
    seconds = seconds_per_update(architecture.text, layout, update_of(config, layout, episode), gpu)
    lines = [
        "",
        f"{parameters:,} parameters, {trained:,} of them trained"
        if config.policy.lora is None
        else f"{parameters:,} parameters, and {trained:,} of adapters that are trained",
        f"Estimated GiB per GPU: {', '.join(f'{name} {gib:.1f}' for name, gib in by_kind.items())}; "
        f"at most {peak:.1f} of the {gpu.gib:g} GiB of one {kind} at a time "
        "(playing and learning take turns, and the larger counts: weights in use and cache, or weights in use, "
        "gradients, activations and logits)",
        f"Estimated updates per hour: {3600 / sum(seconds.values()):.0f} "
        f"({', '.join(f'{name} {each:.0f} s' for name, each in seconds.items())}); {FORMULA}. "
        "Nothing of this was measured on a GPU.",
    ]
    fits = peak <= gpu.gib
    return lines, {"parameters": parameters, "gib_per_gpu": round(peak, 1), "fits": fits}


def _episode(config: ExperimentConfig, architecture: Architecture) -> EpisodeTokens:
    try:
        tools = Toolbox(find_tools(config.env)).describe(config.env.prompt)
    except UserError:  # said among the findings
        tools = ""
    model = architecture.model.config
    return episode_tokens(config, tools, family_class(model).tokens_of_square(model, config.env.view_size))


def _token_budget(config: ExperimentConfig, architecture: Architecture, episode: EpisodeTokens) -> Finding:
    """Whether the longest episode fits the model's context and goes through a step."""
    longest, context = episode.whole, architecture.text.max_position_embeddings
    said = f"an episode takes at most about {longest:,} tokens ({episode.image} per image)"
    if longest > context:
        sentence = f"{said}, the model reads {context:,}: lower max_new_tokens, env.max_turns or env.view_size."
        return Finding(what="tokens", sentence=sentence, is_mistake=True)
    budget = config.trainer.micro_batch_tokens or 0
    if 0 < budget < longest:
        sentence = f"{said}, trainer.micro_batch_tokens={budget:,} is less than one: raise it, or shorten episodes."
        return Finding(what="tokens", sentence=sentence, is_mistake=True)
    return Finding(what="tokens", sentence=said)
