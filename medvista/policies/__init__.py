"""Policies: the VLM, how it is prompted, and the engines that generate its turns."""

from medvista.policies.assembled import assemble
from medvista.policies.chat import ChatRenderer
from medvista.policies.engines import (
    EndpointEngine,
    Engine,
    GenerationRequest,
    SamplingParams,
    ScriptedPolicy,
    TransformersEngine,
    text_completion,
)
from medvista.policies.nano import build_nano
from medvista.policies.vlm_policy import VLMPolicy
from medvista.settings import NanoConfig

__all__ = [
    "ChatRenderer",
    "EndpointEngine",
    "Engine",
    "GenerationRequest",
    "NanoConfig",
    "SamplingParams",
    "ScriptedPolicy",
    "TransformersEngine",
    "VLMPolicy",
    "assemble",
    "build_nano",
    "text_completion",
]
