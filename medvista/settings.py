"""What a configuration file may set about the parts of the library.

The parts take these as their ``config``. They stand here, on the lowest floor, so that a command line knows every key,
type and default without loading torch.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

Aggregation = Literal["sequence", "token"]  # how per-token losses become one number
AdvantageScale = Literal["std", "none"]  # what a group's advantages are divided by


@dataclass(frozen=True, kw_only=True)
class ExpertConfig:
    """What the scripted expert gets wrong."""

    grid: int = 14  # boxes are snapped to a grid of this many cells per side
    cells: int = 2  # side of a box in cells, at least
    max_zooms: int = 2  # on the first of many regions: an episode has to end
    jitter_share: float = 0.0  # share of boxes moved off their target
    jitter_cells: int | None = None  # how far, at most, in each direction; None: to anywhere on the image
    direct_share: float = 0.0  # share of tool questions answered without looking


@dataclass(frozen=True, kw_only=True)
class NanoConfig:
    """Dimensions of the nano model; the defaults give about 0.9M parameters."""

    vocab_size: int = 768  # upper bound for the trained vocabulary
    view_size: int = 64  # pixels; the longer side of every image the policy sees
    hidden_size: int = 128
    layers: int = 3
    heads: int = 4
    kv_heads: int = 2
    intermediate_size: int = 256
    text_init_std: float = 0.08
    vision_hidden_size: int = 96
    vision_depth: int = 2
    vision_heads: int = 4
    vision_intermediate_size: int = 192
    patch_size: int = 8  # pixels; 2 x 2 patches make one visual token


@dataclass(frozen=True, kw_only=True)
class OptimiserConfig:
    """AdamW with warm-up and a cosine or constant schedule."""

    learning_rate: float = 1e-4
    vision_learning_rate: float = 0.0  # 0 freezes the vision tower
    weight_decay: float = 0.0
    warmup_steps: int = 5
    decay_to: float = 1.0  # the learning rate ends at this share of its peak, along a cosine; 1 keeps it constant
    betas: tuple[float, float] = (0.9, 0.95)


@dataclass(frozen=True, kw_only=True)
class ToolLimits:
    """What the calls of a tool may take; None leaves it to the executor."""

    timeout_s: float | None = None  # seconds a call may run, from when it has a worker
    concurrency: int | None = None  # calls of one tool at a time; more wait for their turn
    memory_mb: int | None = None  # what a worker of the tool may allocate, its weights included

    def over(self, others: ToolLimits) -> ToolLimits:
        """These limits, and the others' where these leave something open."""
        given = {name: value for name, value in asdict(self).items() if value is not None}
        return replace(others, **given)


@dataclass(frozen=True, kw_only=True)
class GRPOConfig:
    """The surrogate of GRPO and how it is optimised."""

    surrogate: str = "clipped"  # a name of `medvista.functional.objectives.losses.SURROGATES`
    aggregation: Aggregation = "sequence"
    clip_low: float = 0.2
    clip_high: float = 0.2
    kl_coefficient: float = 0.01  # of the KL loss; needs the ReferenceKL callback
    kl_estimator: Literal["k1", "k2", "k3"] = "k3"
    entropy_coefficient: float = 0.0
    minibatches: int = 1  # optimiser steps per update and inner epoch
    inner_epochs: int = 1
    max_grad_norm: float = 1.0


@dataclass(frozen=True, kw_only=True)
class EndpointConfig:
    """A model behind an OpenAI-compatible HTTP endpoint: a vendor's, or vLLM, SGLang, llama.cpp, Ollama on your own."""

    url: str = "https://api.openai.com/v1"  # what /chat/completions is appended to
    model: str = ""  # as the endpoint names it; has to be given
    key_env: str = "OPENAI_API_KEY"  # environment variable that holds the key; the key itself never stands in a file
    concurrency: int = 8  # requests under way at once
    timeout_s: float = 120.0  # of one request
    retries: int = 6  # after a timeout, a lost connection, 429 or 5xx
    backoff_s: float = 1.0  # before the first retry; doubles with each further one
    max_wait_s: float = 300.0  # longest wait that the endpoint's Retry-After may ask for
    cache_dir: Path | None = None  # answers are kept here and not paid for twice; none without
    prompt_price: float | None = None  # dollars per million prompt tokens; without prices only tokens are told
    completion_price: float | None = None  # dollars per million completion tokens
    body: dict[str, Any] = field(default_factory=dict)  # more fields of each request; null leaves out one of ours


@dataclass(frozen=True, kw_only=True)
class MCPServerConfig:
    """A Model Context Protocol server whose tools an experiment may use: a program to start, or a URL."""

    command: str | None = None  # program that speaks MCP on its standard input and output
    args: list[str] = field(default_factory=list)  # of the program
    cwd: Path | None = None  # folder the program is started in
    pass_env: list[str] = field(default_factory=list)  # names of environment variables it may see, beside PATH and HOME
    url: str | None = None  # of a streamable HTTP server, instead of a program
    token_env: str | None = None  # environment variable that holds the bearer token of the URL
    tools: list[str] = field(default_factory=list)  # names of the tools to offer; all by default
    images: dict[str, str] = field(default_factory=dict)  # argument -> base64, data_url or path: how images are sent
    timeout_s: float = 30.0  # of one call
    start_timeout_s: float = 30.0  # of starting or reaching the server


SegmentBackend = Literal["litemedsam", "medsam", "sam", "sam2", "sam3"]
DetectorName = Literal["grounding_dino", "owlv2"]


@dataclass(frozen=True, kw_only=True)
class SegmentConfig:
    """Which model the tool `segment` runs."""

    backend: SegmentBackend = "litemedsam"
    checkpoint: str = ""  # a folder or hub id; for litemedsam a file of weights; empty: the backend's own
    detector: Literal["", "grounding_dino", "owlv2"] = ""  # finds phrases for a backend that does not read
    detector_checkpoint: str = ""  # a folder or hub id; empty: the detector's own
    threshold: float = 0.3  # lowest confidence of what a phrase finds
    download: bool = False  # allow the first call to download from the hub
    device: str = "auto"  # "auto", "cpu", "cuda", "cuda:1", ...
    cached_images: int = 32  # image embeddings kept: 4 MB each for SAM and the MedSAMs, 17 for SAM 2, 21 for SAM 3
    max_batch: int = 8  # calls in one forward pass, in executors with workers
    max_wait_ms: float = 5.0  # how long a call waits for others to join it there


@dataclass(frozen=True, kw_only=True)
class GroundConfig:
    """Which model the tool `ground` runs."""

    backend: DetectorName = "grounding_dino"
    checkpoint: str = ""  # a folder or hub id; empty: the backend's own
    threshold: float = 0.3  # lowest confidence of a box
    max_boxes: int = 10  # shown; the best ones
    download: bool = False  # allow the first call to download from the hub
    device: str = "auto"
    max_batch: int = 8
    max_wait_ms: float = 5.0


@dataclass(frozen=True, kw_only=True)
class ReadTextConfig:
    """How the tool `read_text` reads."""

    min_confidence: float = 0.5  # of a line, 0-1
    max_lines: int = 40  # shown; the first in reading order


@dataclass(frozen=True, kw_only=True)
class RetrieveConfig:
    """What the tool `retrieve` searches, and how."""

    corpus: str = ""  # a folder or file of .txt, .md, .jsonl or SLAKE's KG; empty: SLAKE's under $MEDVISTA_DATA
    method: Literal["bm25", "embeddings", "hybrid"] = "bm25"
    passage_words: int = 120  # longer texts are cut into passages of about this many words
    cache: str = "~/.cache/medvista"  # where embeddings of a corpus are kept
    device: str = "auto"
