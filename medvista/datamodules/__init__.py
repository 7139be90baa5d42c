"""LightningDataModules: demonstrations and rollouts on the fly."""

from medvista.datamodules.rollout import RolloutDataModule
from medvista.datamodules.sft import SFTDataModule
from medvista.datamodules.validation import Control

__all__ = ["Control", "RolloutDataModule", "SFTDataModule"]
