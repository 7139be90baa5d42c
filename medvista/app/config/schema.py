"""The typed schema of an experiment: every key a YAML file or the command line may set, with its type and default."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from medvista.app.config.env_schema import EnvConfig
from medvista.app.config.rl_schema import RLConfig
from medvista.app.config.sft_schema import CollectConfig, RejectionConfig, SFTConfig
from medvista.schema_field import setting
from medvista.settings import (
    EndpointConfig,
    EngineName,
    LoRAConfig,
    NanoConfig,
    OptimiserConfig,
    Quantisation,
    VLLMConfig,
    WeightsDtype,
)


@dataclass(kw_only=True)
class DataConfig:
    """Where the questions come from."""

    benchmark: str = setting("phantom", help="phantom, a name of docs/benchmarks.md such as slake, or a YAML file.")
    more_benchmarks: list[str] = setting(
        [], help="Further benchmarks whose training questions are mixed in, each as often as it has questions."
    )
    mixing: dict[str, float] = setting(
        {},
        help="Weight of each benchmark in training, such as {vqa_rad: 2, slake: 1}: its share of RL's questions and of "
        "SFT's demonstrations, each gone through before one comes again; {}: as often as it has questions.",
        also=("mixture", "data_mixture", "sampling_weights", "probabilities"),
    )
    exclude_test_images: bool = setting(
        False, help="Leaves out training and validation questions about images that a test set of the run has."
    )
    root: Path | None = setting(None, help="Folder of the official files; null: $MEDVISTA_DATA.", also=("data_dir",))
    families: list[str] = setting(
        ["attribute", "yes_no", "side", "density"],
        help="Families of the questions about phantoms, docs/phantoms.md; comparison is the fifth.",
    )
    train_images: int = setting(1600, help="Phantom images to train on.", above=0)
    validation_images: int = setting(
        48, help="Phantom images to validate on; of another benchmark, the number of questions.", above=0
    )
    test_images: int = setting(
        256, help="Phantom images to test on; of another benchmark, the whole test split.", above=0
    )
    limit: int = setting(0, help="Questions taken of each official split, for a trial; 0: all.", least=0)
    resplit: Literal["none", "image", "patient"] = setting(
        "none", help="Splits a benchmark's questions again, so that no two splits share an image, or a patient."
    )
    seed: int = setting(
        0, help="Seed of the phantoms and of data.resplit: another gives other images in every split.", least=0
    )


@dataclass(kw_only=True)
class PolicyConfig:
    """The policy before training."""

    path: str | None = setting(
        None,
        help="Hub id or folder of a vision-language model, or of PEFT adapters of one; null: a nano model.",
        also=("model_name_or_path", "model"),
    )
    language_model: Path | None = setting(
        None,
        help="Folder or .gguf file of a text model, which gets a new vision tower (policy.nano.vision_*) that "
        "pretrain.* teaches to see; null: a nano model.",
    )
    untrained: str | None = setting(None, help="The same model before training: a baseline of task=evaluate.")
    dtype: WeightsDtype = setting(
        "float32",
        help="What weights are kept in, whatever the checkpoint stores; auto: as it stores them. Training a model in "
        "bfloat16 loses small updates; trainer.precision says what is computed in.",
        also=("torch_dtype",),
    )
    quantise: Quantisation = setting(
        "none",
        help="4bit keeps the weights in NF4 and trains adapters alone (QLoRA, arXiv 2305.14314); needs bitsandbytes.",
        also=("load_in_4bit",),
    )
    freeze: list[str] = setting(
        [], help="Patterns of weights that are not trained, such as embed_tokens or layers.0, docs/weights.md."
    )
    lora: LoRAConfig | None = None
    endpoint: EndpointConfig | None = None
    engine: EngineName = setting(
        "transformers",
        help="What generates episodes in this process: the trained model itself, or a copy in vLLM, docs/engines.md.",
        also=("rl.engine", "rollout_backend", "use_vllm"),
    )
    vllm: VLLMConfig = field(default_factory=VLLMConfig)
    cache_tokens: int | None = setting(
        None,
        help="Tokens that the key-value cache of rollouts may hold, about; episodes beyond them wait. null: no limit.",
        above=0,
    )
    nano: NanoConfig = field(default_factory=NanoConfig)


@dataclass(kw_only=True)
class PretrainConfig:
    """The pre-stage of a model made here: it learns to see, then to caption; kept by the hash of what shapes it."""

    steps: int = setting(420, help="Optimiser steps of the vision pre-stage; 0 skips it.", least=0)
    images: int = setting(2000, help="Phantoms it is trained on, of no split.", above=0)
    crops: int = setting(5, help="Crops of each image, beside two overviews.", least=0)
    batch_size: int = setting(256, help="Views per optimiser step of the vision pre-stage.", above=0)
    learning_rate: float = setting(3e-3, help="Peak learning rate of the vision pre-stage.", least=0, also=("lr",))
    seed: int = setting(
        0, help="Seed of the base model; apart from the run's seed, as the weights of a hub model would be.", least=0
    )
    caption_steps: int = setting(300, help="Optimiser steps of the caption pre-stage; 0 skips it.", least=0)
    rebuild: bool = setting(False, help="Trains the base model even where it is shipped or kept.", invocation=True)
    caption_batch_size: int = setting(96, help="Captions per optimiser step.", above=0)
    caption_optimiser: OptimiserConfig = field(
        default_factory=lambda: OptimiserConfig(
            learning_rate=2e-3, vision_learning_rate=3e-4, decay_to=0.05, warmup_steps=20
        )
    )


@dataclass(kw_only=True)
class EvaluationConfig:
    """The evaluation on test: once, at the end of a run, or of a given policy (task=evaluate)."""

    modes: list[str] = setting(
        ["greedy", "sampled"], help="How answers are decoded: greedy, sampled (temperature 1) or both."
    )
    arms: list[str] = setting(
        ["majority", "lookup", "blanked", "tools_off", "tools_untrained", "policy"],
        help="Arms of task=evaluate: the policy and the baselines beside it.",
    )
    counterfactuals: list[str] = setting(
        ["blank", "shuffled", "random"],
        help="What is shown in place of the tools' results, to see whether they matter; [] saves the time.",
    )
    counterfactual_seed: int = setting(0, help="Seed of the draw of what is shown in their place.", least=0)
    clean_subset: bool = setting(False, help="Asks only questions about images that no training set in use has.")
    leakage: bool = setting(True, help="Looks for test images in the training sets in use.")
    trained_on: list[str] = setting(
        [], help="Benchmarks that the policy was trained on; none named: those it is asked."
    )
    batch_size: int = setting(256, help="Episodes that take their turns together, in each process.", above=0)
    resamples: int = setting(2000, help="Bootstrap resamples of every interval.", above=0)


@dataclass(kw_only=True)
class TrainerConfig:
    """What Lightning's Trainer is told."""

    accelerator: str = setting("auto", help="cpu, gpu, ... as Lightning names them.", also=("device",))
    devices: int = setting(1, help="Devices per node.", above=0, also=("gpus", "n_gpus", "num_gpus"))
    num_nodes: int = setting(1, help="Machines.", above=0, also=("nodes", "nnodes"))
    strategy: Literal["auto", "ddp", "fsdp2", "deepspeed_stage_2", "deepspeed_stage_3"] = setting(
        "auto",
        help="How processes share the work: ddp, each with all of the policy, or fsdp2, each with a part. "
        "deepspeed_... are configured as Lightning wants them, and otherwise not verified.",
    )
    timeout_minutes: float = setting(
        120.0,
        help="How long a process waits for the others, and for what the leader prepares, before it ends.",
        above=0,
    )
    precision: str = setting("32-true", help="bf16-mixed, ... as Lightning names them.", also=("dtype", "bf16", "fp16"))
    micro_batch_tokens: int | None = setting(
        None,
        help="Padded tokens that go through forward and backward at once; an optimiser step of more is made of several "
        "such parts, with the same gradient. null or 0: a step's rows all at once.",
        least=0,
        also=("per_device_train_batch_size", "gradient_accumulation_steps", "accumulate_grad_batches", "max_token_len"),
    )
    gradient_checkpointing: bool = setting(
        False,
        help="Computes the activations inside each layer again in backward instead of keeping them "
        "(arXiv 1604.06174): less memory, about a third more time.",
        also=("activation_checkpointing",),
    )
    share_prompts: bool = setting(
        True,
        help="Computes a prompt that several rows of a step begin with, siblings most of all, once for all of them, "
        "where the model allows it, which is tried at the start. false: each row by itself.",
        also=("use_shared_prefix", "prefix_sharing", "prefix_grouper"),
    )
    gpu: str = setting(
        "", help="Kind of GPU that --dry-run reckons with: a10, rtx4090, l40s, a100, h100 or h200; empty: the one here."
    )
    threads: int = setting(0, help="CPU threads; 0 leaves the choice to torch.", least=0)
    checkpoint_every: int = setting(
        10, help="Optimiser steps (SFT) or updates (RL) between two checkpoints.", above=0, also=("save_steps",)
    )
    keep_checkpoints: int = setting(
        2,
        help="Newest checkpoints of a stage that stay: where the last one is damaged, training goes on from another.",
        above=0,
        also=("save_total_limit",),
    )
    max_nonfinite_steps: int = setting(
        10,
        help="Optimiser steps in a row that may be left out because their loss or gradient is not finite.",
        least=0,
    )
    validate_every: int = setting(
        25, help="Optimiser steps (SFT) or updates (RL) between two validations.", above=0, also=("eval_steps",)
    )


@dataclass(kw_only=True)
class SlurmConfig:
    """What each run of a sweep asks SLURM for; processes and machines are those of trainer."""

    partition: str | None = setting(None, help="Partition; null: the cluster's own choice.", also=("queue",))
    minutes: int = setting(240, help="Time limit of a run; one that hits it goes on in a new job.", above=0)
    cpus: int = setting(4, help="CPU cores per process.", above=0)
    gpus: int = setting(0, help="GPUs per machine.", least=0)
    memory_gb: float = setting(16.0, help="Memory per machine, in gibibytes.", above=0)
    more: dict[str, str] = setting({}, help="Further options of sbatch by their long names, as {account: lab}.")


@dataclass(kw_only=True)
class SweepConfig:
    """Variants of an experiment at several seeds: each pair is a run of its own, in a folder of its own."""

    experiment: str = setting("nano", help="Experiment that each run extends.")
    seeds: list[int] = setting([], help="Seeds; each variant runs at each.", least=0)
    common: list[str] = setting([], help="Overrides of every variant, which its own may override again.")
    variants: dict[str, list[str]] = setting({}, help="Overrides that make a variant, by its name.")
    baseline: str = setting("", help="The variant that the others are compared with; empty: the first.")
    compare: Literal["variants", "arms"] = setting(
        "variants",
        help="What is tested in pairs: each variant against the baseline, arm by arm, or sft_rl against the other "
        "arms, variant by variant.",
    )
    workers: int = setting(2, help="Runs at a time.", above=0)
    launcher: Literal["local", "slurm"] = setting(
        "local", help="Where runs go: processes on this machine, or a SLURM array (needs the extra slurm)."
    )
    slurm: SlurmConfig = field(default_factory=SlurmConfig)


@dataclass(kw_only=True)
class ExperimentConfig:
    """One run, from data to report."""

    experiment: str = setting("nano", help="Name of a shipped experiment, or path of your own .yaml.")
    description: str = setting("", help="What the experiment is, in a line; --list shows it.")
    task: Literal["train", "evaluate", "collect"] = setting(
        "train", help="Trains arms and compares them, evaluates a given model, or collects demonstrations."
    )
    benchmarks: list[str] = setting(
        [], help="What is asked on test, such as [slake,vqa_rad]; task=train: none named are those trained on."
    )
    seed: int = setting(0, help="Seed of everything random in training; data.seed draws the images.", least=0)
    output_dir: Path = setting("runs/${experiment}", help="Folder that the run writes.")
    cache_dir: Path = setting(
        ".cache/medvista", help="Folder of the pre-trained nano models and of fingerprints of images."
    )
    resume: Literal[False, True, "stages"] = setting(
        False,
        help="Whether to go on with the run in output_dir. true refuses if a setting differs from that run's; stages "
        "trains again what a changed setting shapes, and keeps the rest. Never saved in config.yaml.",
        also=("resume_from_checkpoint",),
        invocation=True,
    )
    overrides: list[str] = setting(
        [],
        help="The key=value overrides of the command, for results.json; the command itself fills them in.",
        invocation=True,
    )
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
        help="What is trained and compared, docs/results.md.",
    )
    max_new_tokens: int = setting(32, help="Tokens of one turn, at most.", above=0, also=("max_tokens",))
    data: DataConfig = field(default_factory=DataConfig)
    env: EnvConfig = field(default_factory=EnvConfig)
    policy: PolicyConfig = field(default_factory=PolicyConfig)
    pretrain: PretrainConfig = field(default_factory=PretrainConfig)
    collect: CollectConfig = field(default_factory=CollectConfig)
    direct: SFTConfig = field(default_factory=SFTConfig)
    sft: SFTConfig = field(default_factory=SFTConfig)
    rl: RLConfig = field(default_factory=RLConfig)
    rejection: RejectionConfig = field(default_factory=RejectionConfig)
    evaluation: EvaluationConfig = field(default_factory=EvaluationConfig)
    trainer: TrainerConfig = field(default_factory=TrainerConfig)
    sweep: SweepConfig | None = None
