"""Policies: the VLM, how it is prompted, and the engines that generate its turns."""

from medvista.policies.chat import ChatRenderer
from medvista.policies.endpoint_engine import EndpointEngine
from medvista.policies.engine import Engine, GenerationRequest, SamplingParams
from medvista.policies.nano import build_nano
from medvista.policies.scripted import ScriptedPolicy
from medvista.policies.transformers_engine import TransformersEngine
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
    "build_nano",
]
