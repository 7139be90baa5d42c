"""Policies: the VLM, how it is prompted, and the engines that generate its turns."""

from medvista.policies.adapters import merge_adapters, read_base
from medvista.policies.assembled import assemble
from medvista.policies.chat import ChatRenderer
from medvista.policies.engines import (
    EndpointEngine,
    Engine,
    GenerationRequest,
    SamplingParams,
    ScriptedPolicy,
    TransformersEngine,
    VLLMEngine,
    VLLMModel,
    check_vllm,
    conversation,
    text_completion,
)
from medvista.policies.loading import Loading
from medvista.policies.nano import build_nano
from medvista.policies.vlm_policy import VLMPolicy, tokenizer_path
from medvista.settings import NanoConfig

__all__ = [
    "ChatRenderer",
    "EndpointEngine",
    "Engine",
    "GenerationRequest",
    "Loading",
    "NanoConfig",
    "SamplingParams",
    "ScriptedPolicy",
    "TransformersEngine",
    "VLLMEngine",
    "VLLMModel",
    "VLMPolicy",
    "assemble",
    "build_nano",
    "check_vllm",
    "conversation",
    "merge_adapters",
    "read_base",
    "text_completion",
    "tokenizer_path",
]
