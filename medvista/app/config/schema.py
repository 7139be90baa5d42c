"""The typed schema of an experiment: every key a YAML file or the command line may set, with its type and default."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from medvista.app.config.keys import setting
from medvista.settings import (
    EndpointConfig,
    ExpertConfig,
    GroundConfig,
    GRPOConfig,
    MCPServerConfig,
    NanoConfig,
    OptimiserConfig,
    ReadTextConfig,
    RetrieveConfig,
    SegmentConfig,
    ToolLimits,
)


@dataclass(kw_only=True)
class DataConfig:
    """Where the questions come from."""

    benchmark: str = setting("phantom", help="phantom, a name of docs/benchmarks.md such as slake, or a YAML file")
    root: Path | None = setting(None, help="folder of the official files (default: $MEDVISTA_DATA)")
    families: list[str] = setting(
        ["attribute", "yes_no", "side", "density"], help="phantom question families; comparison is the fifth"
    )
    train_images: int = setting(1600, help="phantom images to train on")
    validation_images: int = setting(48, help="phantom images, or questions of an official set, to validate on")
    test_images: int = setting(256, help="phantom images to test on; official test splits are whole")
    limit: int = setting(0, help="questions of each official split, for a trial; 0 takes all")
    resplit: Literal["none", "image", "patient"] = setting(
        "none", help="deal all questions of a benchmark out anew, so that no two splits share an image, or a patient"
    )
    seed: int = 0  # of the phantoms and of data.resplit; another seed gives other images in every split


@dataclass(kw_only=True)
class EnvConfig:
    """The environment."""

    tools: list[str] = setting(["zoom", "window"], help="names of registered tools")
    view_size: int = setting(64, help="pixels, longer side of every image the policy sees")
    max_turns: int = setting(3, help="turns an episode may take")
    prompt: Literal["schemas", "names", "none"] = setting("names", help="what the prompt says about the tools")
    workers: int | None = setting(
        None, help="threads that step episodes; default: none where all tools are quick, else one an episode"
    )
    tools_executor: Literal["threads", "processes", "ray"] = setting("threads", help="what runs tools, docs/tools.md")
    tools_timeout_s: float | None = setting(
        None, help="seconds a call may take; default: no limit for threads, 60 for processes and ray"
    )
    tools_concurrency: int | None = setting(None, help="calls of one tool at a time")
    tools_memory_mb: int | None = setting(None, help="what a worker may allocate, for processes and ray")
    tools_limits: dict[str, ToolLimits] = field(default_factory=dict)  # of single tools, by name
    tools_cache_mb: int = setting(0, help="results of equal calls kept; 0 keeps none, which is faster for quick tools")
    segment: SegmentConfig = field(default_factory=SegmentConfig)
    ground: GroundConfig = field(default_factory=GroundConfig)
    read_text: ReadTextConfig = field(default_factory=ReadTextConfig)
    retrieve: RetrieveConfig = field(default_factory=RetrieveConfig)
    burned_in_text: int = setting(0, help="images looked at, at start-up, for names and dates burned in; 0: none")
    mcp_servers: dict[str, MCPServerConfig] = field(default_factory=dict)  # name -> whose tools are added, docs/mcp.md


@dataclass(kw_only=True)
class PolicyConfig:
    """The policy before training."""

    path: str | None = setting(None, help="hub id or folder of a vision-language model; default: a nano model")
    untrained: str | None = setting(None, help="the same model before training: a baseline of task=evaluate")
    endpoint: EndpointConfig | None = None  # an OpenAI-compatible endpoint as the policy of task=evaluate
    nano: NanoConfig = field(default_factory=NanoConfig)


@dataclass(kw_only=True)
class PretrainConfig:
    """The nano model's pre-stage: it learns to see, then to caption (cached, by the hash of all that shapes it)."""

    steps: int = setting(420, help="optimiser steps of the vision pre-stage; 0 skips it")
    images: int = 2000
    crops: int = 5  # crops of each image, beside two overviews
    batch_size: int = 256
    learning_rate: float = 3e-3
    seed: int = 0  # of the base model; apart from the run's seed, as the weights of a hub model would be
    caption_steps: int = setting(300, help="optimiser steps of the caption pre-stage; 0 skips it")
    rebuild: bool = setting(False, help="train the base model even where it is shipped or kept")
    caption_batch_size: int = 96
    caption_optimiser: OptimiserConfig = field(
        default_factory=lambda: OptimiserConfig(
            learning_rate=2e-3, vision_learning_rate=3e-4, decay_to=0.05, warmup_steps=20
        )
    )


@dataclass(kw_only=True)
class SFTConfig:
    """Supervised fine-tuning on demonstrations."""

    demonstrations: int = setting(1000, help="how many demonstrations the expert gives")
    path: Path | None = setting(None, help="demonstrations of your own (JSONL) instead of the expert's")
    expert: ExpertConfig = field(default_factory=ExpertConfig)
    steps: int = setting(200, help="optimiser steps")
    batch_size: int = 64
    optimiser: OptimiserConfig = field(
        default_factory=lambda: OptimiserConfig(learning_rate=2e-3, vision_learning_rate=3e-4, decay_to=0.1)
    )


@dataclass(kw_only=True)
class RLConfig:
    """Reinforcement learning on the policy's own rollouts."""

    updates: int = setting(80, help="updates; each plays prompts x group_size episodes")
    prompts: int = setting(24, help="questions an update")
    group_size: int = setting(8, help="sibling episodes a question")
    temperature: float = 1.0
    advantage_scale: Literal["std", "none"] = "std"
    refill_rounds: int = 0  # how often groups without variance are replaced
    reward: dict[str, float] = setting({"accuracy": 1.0, "format": 0.1}, help="weight of each reward term")
    grpo: GRPOConfig = field(default_factory=GRPOConfig)
    optimiser: OptimiserConfig = field(default_factory=lambda: OptimiserConfig(learning_rate=1e-4))


@dataclass(kw_only=True)
class RejectionConfig:
    """Expert iteration: as many generated tokens as RL, in rounds of sampling and fine-tuning on what was right."""

    rounds: int = 4
    epochs: int = 2  # over all kept episodes, a round


@dataclass(kw_only=True)
class EvaluationConfig:
    """The evaluation on test: once, at the end of a run, or of a given policy (task=evaluate)."""

    modes: list[str] = setting(["greedy", "sampled"], help="greedy, sampled (temperature 1) or both")
    arms: list[str] = setting(
        ["majority", "lookup", "blanked", "tools_off", "tools_untrained", "policy"],
        help="of task=evaluate: the policy and the baselines beside it",
    )
    counterfactuals: list[str] = setting(
        ["blank", "shuffled", "random"], help="what is shown in the place of tool results, to see whether they matter"
    )
    counterfactual_seed: int = 0  # of which other episode's observation is shown
    clean_subset: bool = setting(False, help="ask only questions about images that no training set in use has")
    leakage: bool = setting(True, help="look for test images in the training sets in use")
    trained_on: list[str] = setting([], help="benchmarks the policy was trained on; default: those it is asked")
    batch_size: int = 256  # episodes that take their turns together, in each process
    resamples: int = 2000  # bootstrap resamples of every interval


@dataclass(kw_only=True)
class TrainerConfig:
    """What Lightning's Trainer is told."""

    accelerator: str = setting("auto", help="cpu, gpu, ... as Lightning names them")
    devices: int = setting(1, help="devices a node")
    num_nodes: int = 1
    strategy: str = setting("auto", help="ddp, fsdp, ... as Lightning names them")
    precision: str = setting("32-true", help="bf16-mixed, ... as Lightning names them")
    threads: int = setting(0, help="CPU threads; 0 leaves the choice to torch")
    checkpoint_every: int = 10  # optimiser steps (SFT) or updates (RL) between two checkpoints
    validate_every: int = 25  # optimiser steps (SFT) or updates (RL) between two validations


@dataclass(kw_only=True)
class ClaimConfig:
    """A claim over seeds and teachers: each pair is a run of its own, in a folder of its own."""

    experiment: str = "nano"  # the experiment that each run extends
    seeds: list[int] = field(default_factory=list)
    teachers: dict[str, list[str]] = field(default_factory=dict)  # name -> overrides that make the teacher
    workers: int = 2  # runs at a time


@dataclass(kw_only=True)
class ExperimentConfig:
    """One run, from data to report."""

    experiment: str = setting("nano", help="name of a shipped experiment, or a path to your own .yaml")
    description: str = ""
    task: Literal["train", "evaluate"] = setting("train", help="train arms and compare them, or evaluate policy.path")
    benchmarks: list[str] = setting([], help="of task=evaluate: what is asked, such as [slake,vqa_rad]")
    seed: int = setting(0, help="seed of everything random")
    output_dir: Path = setting("runs/${experiment}", help="folder the run writes")
    cache_dir: Path = setting(".cache/medvista", help="folder of the pre-trained nano models")
    resume: bool = setting(False, help="go on from the last checkpoint in output_dir")
    arms: list[str] = setting(
        [
            "majority",
            "blanked",
            "direct",
            "tools_untrained",
            "tools_random",
            "sft",
            "sft_rl",
            "sft_rl_random",
            "oracle_crop",
        ],
        help="what is trained and compared",
    )
    max_new_tokens: int = setting(32, help="tokens of one turn")
    data: DataConfig = field(default_factory=DataConfig)
    env: EnvConfig = field(default_factory=EnvConfig)
    policy: PolicyConfig = field(default_factory=PolicyConfig)
    pretrain: PretrainConfig = field(default_factory=PretrainConfig)
    direct: SFTConfig = field(default_factory=SFTConfig)
    sft: SFTConfig = field(default_factory=SFTConfig)
    rl: RLConfig = field(default_factory=RLConfig)
    rejection: RejectionConfig = field(default_factory=RejectionConfig)
    evaluation: EvaluationConfig = field(default_factory=EvaluationConfig)
    trainer: TrainerConfig = field(default_factory=TrainerConfig)
    claim: ClaimConfig | None = None
