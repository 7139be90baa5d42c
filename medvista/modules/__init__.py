"""LightningModules: each owns a policy and a loss."""

from medvista.modules.grpo import GRPOConfig, GRPOModule
from medvista.modules.optimisation import OptimiserConfig
from medvista.modules.sft import SFTModule
from medvista.modules.vision_pretraining import VisionPretrainingModule

__all__ = ["GRPOConfig", "GRPOModule", "OptimiserConfig", "SFTModule", "VisionPretrainingModule"]
