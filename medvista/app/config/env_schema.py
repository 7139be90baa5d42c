"""The keys of the environment and its tools."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from medvista.schema_field import setting
from medvista.settings import (
    GroundConfig,
    MCPServerConfig,
    ReadTextConfig,
    RetrieveConfig,
    SegmentConfig,
    ToolLimits,
)


@dataclass(kw_only=True)
class EnvConfig:
    """The environment."""

    tools: list[str] = setting(["zoom", "window"], help="Names of the tools; `python -m experiments.tools` lists them.")
    view_size: int = setting(
        64,
        help="Pixels of the longer side of every image that the policy sees.",
        above=0,
        also=("image_size", "resolution"),
    )
    max_turns: int = setting(3, help="Turns that an episode may take.", above=0, also=("max_steps",))
    prompt: Literal["schemas", "names", "none"] = setting(
        "names", help="What the prompt says about the tools: their JSON schemas, their names, or nothing."
    )
    workers: int | None = setting(
        None,
        help="Threads that step episodes; null: none if all tools are known to be quick, else one per episode where "
        "tools turn out slow; 0: none, so that rollouts are the same to the last bit each time.",
        least=0,
    )
    tools_executor: Literal["threads", "processes", "ray"] = setting("threads", help="What runs tools, docs/tools.md.")
    tools_ray_address: str | None = setting(
        None, help="Ray cluster that tools_executor=ray joins: auto, or ray://host:10001; null: Ray is started here."
    )
    tools_timeout_s: float | None = setting(
        None, help="Seconds that a call may take; null: no limit for threads, 60 for processes and ray.", above=0
    )
    tools_concurrency: int | None = setting(None, help="Calls of one tool at a time; null: as many as come.", above=0)
    tools_memory_mb: int | None = setting(
        None, help="Megabytes that a worker may allocate, for processes and ray.", above=0
    )
    tools_limits: dict[str, ToolLimits] = setting({}, help="Limits of single tools, by name; they win over tools_*.")
    tools_cache_mb: int = setting(
        0, help="Megabytes of results kept for equal calls; 0: none, which is faster for quick tools.", least=0
    )
    segment: SegmentConfig = field(default_factory=SegmentConfig)
    ground: GroundConfig = field(default_factory=GroundConfig)
    read_text: ReadTextConfig = field(default_factory=ReadTextConfig)
    retrieve: RetrieveConfig = field(default_factory=RetrieveConfig)
    burned_in_text: int = setting(
        0, help="Images searched for burned-in names and dates before the run; 0: none.", least=0
    )
    mcp_servers: dict[str, MCPServerConfig] = setting(
        {}, help="MCP servers whose tools are added, by name, docs/mcp.md."
    )
