"""Engines: what generates a policy's turns, in this process, behind an endpoint, or from a script."""

from medvista.policies.engines.base import Engine, GenerationRequest, SamplingParams
from medvista.policies.engines.endpoint import EndpointEngine, conversation
from medvista.policies.engines.scripted import ScriptedPolicy, text_completion
from medvista.policies.engines.transformers import TransformersEngine
from medvista.policies.engines.vllm import VLLMEngine
from medvista.policies.engines.vllm_model import VLLMModel, check_vllm

__all__ = [
    "EndpointEngine",
    "Engine",
    "GenerationRequest",
    "SamplingParams",
    "ScriptedPolicy",
    "TransformersEngine",
    "VLLMEngine",
    "VLLMModel",
    "check_vllm",
    "conversation",
    "text_completion",
]
