"""What a configuration file may set about the parts of the library.

The parts take these as their ``config``. They stand here, on the lowest floor, so that a command line knows every key,
type, default and explanation without loading torch.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal

from medvista.schema_field import setting

Aggregation = Literal["sequence", "token", "constant"]  # how per-token losses become one number
AdvantageScale = Literal["std", "none"]  # what advantages are divided by: their group's standard deviation, or nothing
OptimiserName = Literal["adamw", "adamw_fused", "adamw_8bit", "paged_adamw_8bit", "adafactor"]
WeightsDtype = Literal["float32", "bfloat16", "auto"]  # what weights are kept in; auto: as the checkpoint stores them
Quantisation = Literal["none", "4bit"]
EngineName = Literal["transformers", "vllm"]  # what generates the turns of a policy in this process
ReferenceKind = Literal["copy", "cpu", "adapters_off", "ema"]  # where the policy of the KL term comes from


@dataclass(frozen=True, kw_only=True)
class ExpertConfig:
    """What the scripted expert gets wrong."""

    grid: int = setting(14, help="Cells per side of the grid that boxes are snapped to.", least=1)
    cells: int = setting(2, help="Smallest side of a box, in cells of the grid.", least=1)
    max_zooms: int = setting(
        2,
        help="Most regions that one demonstration zooms on; of more it takes the first, since an episode ends.",
        least=1,
    )
    jitter_share: float = setting(0.0, help="Share of the boxes that are moved off their target.", least=0, most=1)
    jitter_cells: int | None = setting(
        None,
        help="How far a box is moved at most, in cells, in each direction; null: to anywhere on the image.",
        least=0,
    )
    direct_share: float = setting(
        0.0, help="Share of the questions that need a tool and are answered without looking.", least=0, most=1
    )


@dataclass(frozen=True, kw_only=True)
class NanoConfig:
    """Dimensions of the nano model; the defaults give about 0.9M parameters."""

    vocab_size: int = setting(768, help="Upper bound of the vocabulary, which is learned from the episodes.", above=0)
    view_size: int = setting(
        64, help="Pixels of the longer side of every image it is built for; env.view_size has to agree.", above=0
    )
    hidden_size: int = setting(128, help="Width of the language model.", above=0)
    layers: int = setting(3, help="Layers of the language model.", above=0)
    heads: int = setting(4, help="Attention heads of the language model.", above=0)
    kv_heads: int = setting(2, help="Key and value heads, each shared by heads / kv_heads query heads.", above=0)
    intermediate_size: int = setting(256, help="Width inside the feed-forward layers.", above=0)
    text_init_std: float = setting(0.08, help="Standard deviation of the language model's first weights.", above=0)
    vision_hidden_size: int = setting(96, help="Width of the vision tower.", above=0)
    vision_depth: int = setting(2, help="Layers of the vision tower.", above=0)
    vision_heads: int = setting(4, help="Attention heads of the vision tower.", above=0)
    vision_intermediate_size: int = setting(192, help="Width inside the vision tower's feed-forward layers.", above=0)
    patch_size: int = setting(8, help="Pixels per side of a patch; 2 x 2 patches make one visual token.", above=0)


@dataclass(frozen=True, kw_only=True)
class LoRAConfig:
    """Low-rank adapters, which are trained instead of the weights (LoRA, arXiv 2106.09685)."""

    rank: int = setting(16, help="Rank of each adapter.", above=0, also=("r", "lora_r"))
    alpha: float | None = setting(
        None, help="An adapter's output is scaled by alpha / rank; null: twice the rank.", above=0, also=("lora_alpha",)
    )
    dropout: float = setting(
        0.0,
        help="Dropout before each adapter. Keep 0 in RL: rollouts have none, so ratios would start away from 1.",
        least=0,
        most=1,
        also=("lora_dropout",),
    )
    targets: list[str] = setting(
        ["language"],
        help="Linear layers that get one: language, vision (with what leads to the language model), or patterns such "
        "as q_proj or layers.3.mlp, where * stands for anything.",
        also=("target_modules",),
    )
    exclude: list[str] = setting([], help="Patterns of layers that get none.", also=("exclude_modules",))
    merge: bool = setting(
        False,
        help="Whether a finished stage merges its adapters into its weights, so that the next starts with fresh ones; "
        "false: the policy is kept as adapters, and the next stage goes on with them.",
    )


@dataclass(frozen=True, kw_only=True)
class VLLMConfig:
    """vLLM beside the trainer, docs/engines.md."""

    gpu_memory_utilization: float = setting(
        0.4, help="Share of a GPU's memory that vLLM takes for weights and cache while it generates.", above=0, most=1
    )
    tensor_parallel_size: int = setting(1, help="GPUs that share vLLM's copy of the weights.", above=0)
    max_model_len: int | None = setting(
        None, help="Tokens of an episode, at most; null: as many as the model takes and the memory allows.", above=0
    )
    enforce_eager: bool | None = setting(
        None, help="Whether vLLM does without CUDA graphs and compilation; null: on a processor only."
    )
    dtype: Literal["auto", "float32", "bfloat16", "float16"] = setting(
        "auto", help="What vLLM computes in; auto: bfloat16 on a GPU, float32 on a processor."
    )


@dataclass(frozen=True, kw_only=True)
class OptimiserConfig:
    """An optimiser with warm-up and a cosine or constant schedule."""

    name: OptimiserName = setting(
        "adamw",
        help="adamw (arXiv 1711.05101), adamw_fused, adafactor (arXiv 1804.04235), or with bitsandbytes adamw_8bit and "
        "paged_adamw_8bit (arXiv 2110.02861).",
        also=("optim", "optimizer"),
    )
    learning_rate: float = setting(1e-4, help="Peak learning rate.", least=0, also=("lr",))
    vision_learning_rate: float = setting(0.0, help="Peak learning rate of the vision tower; 0 freezes it.", least=0)
    learning_rates: dict[str, float] = setting(
        {},
        help="Peak learning rates of weights by pattern, such as {embed_tokens: 1e-6}; 0 freezes. The first pattern "
        "that fits a weight wins, and over vision_learning_rate.",
    )
    weight_decay: float = setting(0.0, help="Decoupled weight decay.", least=0)
    warmup_steps: int = setting(5, help="Steps in which the learning rate rises to its peak.", least=0)
    decay_to: float = setting(
        1.0, help="Share of its peak at which the learning rate ends, along a cosine; 1: constant.", least=0, most=1
    )
    betas: tuple[float, float] = setting(
        (0.9, 0.95), help="Decay rates of AdamW's two moving averages; adafactor has none.", least=0, most=1
    )


@dataclass(frozen=True, kw_only=True)
class ToolLimits:
    """What the calls of a tool may take; None leaves it to the executor."""

    timeout_s: float | None = setting(
        None, help="Seconds a call may run, from when it has a worker; null: see env.tools_timeout_s.", above=0
    )
    concurrency: int | None = setting(None, help="Calls of the tool at a time; more wait for their turn.", above=0)
    memory_mb: int | None = setting(None, help="Megabytes a worker may allocate, its weights included.", above=0)

    min_workers: int | None = setting(
        None,
        help="Workers that stay though nobody calls; others end after a minute without a call. concurrency bounds them "
        "above; between the two there are as many as calls that wait. null: whoever was started stays.",
        least=0,
    )
    cpus: float | None = setting(
        None, help="CPUs that ray reserves for a worker, which is placed where they are; null: none.", least=0
    )
    gpus: float | None = setting(
        None, help="GPUs that ray reserves for a worker, such as 0.5 where two share one; null: none.", least=0
    )
    python: str | None = setting(
        None,
        help="Interpreter of another environment that runs the tool, whose packages do not go with this one's; with "
        "env.tools_executor=processes, docs/tools.md.",
    )

    def over(self, others: ToolLimits) -> ToolLimits:
        """These limits, and the others' where these leave something open."""
        given = {name: value for name, value in asdict(self).items() if value is not None}
        return replace(others, **given)


@dataclass(frozen=True, kw_only=True)
class GRPOConfig:
    """How rl.objective is optimised, and what of it is set otherwise than it says itself."""

    aggregation: Aggregation | None = setting(
        None,
        help="How the losses of tokens become one number; null: as the objective does. sequence: the mean over each "
        "episode, then over episodes (GRPO, arXiv 2402.03300); token: the mean over all tokens (DAPO, arXiv "
        "2503.14476); constant: the sum over each episode by the tokens that one may write (Dr. GRPO, arXiv "
        "2503.20783).",
        also=("loss_agg_mode", "loss_type"),
    )
    clip_low: float | None = setting(
        None,
        help="How far below 1 the probability ratio may fall before the loss is clipped (arXiv 1707.06347); null: the "
        "objective's own, for grpo 0.2.",
        least=0,
        most=1,
        also=("epsilon",),
    )
    clip_high: float | None = setting(
        None,
        help="How far above 1 the ratio may rise before the loss is clipped; null: the objective's own, for grpo 0.2 "
        "and for dapo 0.28.",
        least=0,
        also=("epsilon_high",),
    )
    entropy_coefficient: float = setting(
        0.0, help="Weight of an entropy bonus; 0: none.", least=0, also=("entropy_coef",)
    )
    entropy_target: float | None = setting(
        None,
        help="Entropy per token, in nats, below which the bonus is paid and its weight grows by 0.005 per update; "
        "above, it shrinks (arXiv 2505.22312). null: the weight is fixed.",
        above=0,
    )
    minibatches: int = setting(1, help="Optimiser steps per update and inner epoch.", above=0)
    inner_epochs: int = setting(1, help="Passes over the episodes of an update.", above=0, also=("num_iterations",))
    max_grad_norm: float = setting(1.0, help="Norm that gradients are clipped to.", above=0)


@dataclass(frozen=True, kw_only=True)
class EndpointConfig:
    """A model behind an OpenAI-compatible HTTP endpoint: a vendor's, or vLLM, SGLang, llama.cpp, Ollama on your own."""

    url: str = setting(
        "https://api.openai.com/v1", help="Address that /chat/completions is appended to.", also=("base_url",)
    )
    model: str = setting("", help="The model, as the endpoint names it; has to be given.")
    key_env: str = setting(
        "OPENAI_API_KEY",
        help="Environment variable that holds the key, which never stands in a file.",
        also=("api_key",),
    )
    concurrency: int = setting(8, help="Requests under way at once.", above=0)
    timeout_s: float = setting(120.0, help="Seconds that one request may take.", above=0)
    retries: int = setting(6, help="Further tries after a timeout, a lost connection, status 429 or 5xx.", least=0)
    backoff_s: float = setting(1.0, help="Seconds before the first retry; doubles with each further one.", least=0)
    max_wait_s: float = setting(
        300.0, help="Longest wait, in seconds, that the endpoint's Retry-After may ask for.", least=0
    )
    cache_dir: Path | None = setting(None, help="Folder where answers are kept, so that none is paid for twice.")
    prompt_price: float | None = setting(
        None, help="Dollars per million prompt tokens; null: only tokens are told.", least=0
    )
    completion_price: float | None = setting(None, help="Dollars per million completion tokens.", least=0)
    body: dict[str, Any] = setting({}, help="More fields of each request; null leaves out one of ours.")


@dataclass(frozen=True, kw_only=True)
class MCPServerConfig:
    """A Model Context Protocol server whose tools an experiment may use: a program to start, or a URL."""

    command: str | None = setting(None, help="Program that speaks MCP on its standard input and output.")
    args: list[str] = setting([], help="Arguments of the program.")
    cwd: Path | None = setting(None, help="Folder that the program is started in.")
    pass_env: list[str] = setting([], help="Environment variables that the program may see, beside PATH and HOME.")
    url: str | None = setting(None, help="Address of a streamable HTTP server, instead of a program.")
    token_env: str | None = setting(None, help="Environment variable that holds the bearer token of the address.")
    tools: list[str] = setting([], help="Names of the tools to offer; none named: all.")
    images: dict[str, str] = setting({}, help="How an argument sends an image: base64, data_url or path, by argument.")
    timeout_s: float = setting(30.0, help="Seconds that one call may take.", above=0)
    start_timeout_s: float = setting(30.0, help="Seconds that starting or reaching the server may take.", above=0)


SegmentBackend = Literal["litemedsam", "medsam", "sam", "sam2", "sam3"]
DetectorName = Literal["grounding_dino", "owlv2"]


@dataclass(frozen=True, kw_only=True)
class SegmentConfig:
    """Which model the tool `segment` runs."""

    backend: SegmentBackend = setting("litemedsam", help="The model, docs/tools.md.")
    checkpoint: str = setting(
        "", help="Folder or hub id of its weights, for litemedsam a file; empty: the backend's own."
    )
    detector: Literal["", "grounding_dino", "owlv2"] = setting(
        "", help="Model that finds phrases for a backend that does not read; empty: none."
    )
    detector_checkpoint: str = setting("", help="Folder or hub id of the detector; empty: its own.")
    threshold: float = setting(0.3, help="Lowest confidence of what a phrase finds.", least=0, most=1)
    download: bool = setting(False, help="Whether the first call may download from the hub.")
    device: str = setting("auto", help="Where it runs: auto, cpu, cuda, cuda:1, ...")
    cached_images: int = setting(
        32, help="Image embeddings kept. Each takes 4 MB for SAM and the MedSAMs, 17 for SAM 2, 21 for SAM 3.", least=0
    )
    max_batch: int = setting(8, help="Calls in one forward pass, in executors with workers.", above=0)
    max_wait_ms: float = setting(5.0, help="Milliseconds that a call waits for others to join it there.", least=0)


@dataclass(frozen=True, kw_only=True)
class GroundConfig:
    """Which model the tool `ground` runs."""

    backend: DetectorName = setting("grounding_dino", help="The model, docs/tools.md.")
    checkpoint: str = setting("", help="Folder or hub id of its weights; empty: the backend's own.")
    threshold: float = setting(0.3, help="Lowest confidence of a box.", least=0, most=1)
    max_boxes: int = setting(10, help="Most boxes shown; the best ones.", above=0)
    download: bool = setting(False, help="Whether the first call may download from the hub.")
    device: str = setting("auto", help="Where it runs: auto, cpu, cuda, cuda:1, ...")
    max_batch: int = setting(8, help="Calls in one forward pass, in executors with workers.", above=0)
    max_wait_ms: float = setting(5.0, help="Milliseconds that a call waits for others to join it there.", least=0)


@dataclass(frozen=True, kw_only=True)
class ReadTextConfig:
    """How the tool `read_text` reads."""

    min_confidence: float = setting(0.5, help="Lowest confidence of a line.", least=0, most=1)
    max_lines: int = setting(40, help="Most lines shown; the first in reading order.", above=0)


@dataclass(frozen=True, kw_only=True)
class RetrieveConfig:
    """What the tool `retrieve` searches, and how."""

    corpus: str = setting(
        "", help="Folder or file of .txt, .md, .jsonl or SLAKE's KG; empty: SLAKE's under $MEDVISTA_DATA."
    )
    method: Literal["bm25", "embeddings", "hybrid"] = setting(
        "bm25", help="How passages are ranked: by words, by meaning, or by both."
    )
    passage_words: int = setting(120, help="Words per passage, about; longer texts are cut.", above=0)
    cache: str = setting("~/.cache/medvista", help="Folder where the embeddings of a corpus are kept.")
    device: str = setting("auto", help="Where it runs: auto, cpu, cuda, cuda:1, ...")
