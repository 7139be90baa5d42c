"""The image encoder of LiteMedSAM: a TinyViT that keeps a quarter of the input's resolution.

Architecture of Wu et al. 2022 (TinyViT, arXiv 2207.10666) as the LiteMedSAM branch of MedSAM changed it (Ma et al.
2024, https://github.com/bowang-lab/MedSAM/tree/LiteMedSAM): the patch embedding has stride 1, the last merging does
not shrink, and SAM's neck follows. Written for inference only, after the published code (Copyright Microsoft,
MIT licence); the modules carry the names of the published checkpoint, so that it loads strictly.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from transformers.modeling_outputs import BaseModelOutput

IMAGE_SIZE = 256  # pixels per side; the positions of prompts are relative to it
EMBEDDING_SIZE = 64  # cells per side of the image embedding
OUT_CHANNELS = 256

_WIDTHS = (64, 128, 160, 320)
_DEPTHS = (2, 2, 6, 2)
_HEADS = (2, 4, 5, 10)
_WINDOWS = (7, 7, 14, 7)  # cells per side; the first stage has no attention
_EXPANSION = 4
_STRIDES = (2, 2, 1)  # of the merging after each stage but the last


class TinyViT(nn.Module):
    """Pixels ``[N, 3, 256, 256]`` to an embedding ``[N, 256, 64, 64]``."""

    def __init__(self) -> None:
        super().__init__()
        self.patch_embed = PatchEmbed(_WIDTHS[0])
        self.layers = nn.ModuleList([Stage(index) for index in range(len(_WIDTHS))])
        self.neck = nn.Sequential(
            nn.Conv2d(_WIDTHS[-1], OUT_CHANNELS, 1, bias=False),
            ChannelNorm(OUT_CHANNELS),
            nn.Conv2d(OUT_CHANNELS, OUT_CHANNELS, 3, padding=1, bias=False),
            ChannelNorm(OUT_CHANNELS),
        )

    def forward(self, pixel_values: Tensor) -> BaseModelOutput:
        """The embedding, in the form of a vision encoder of transformers."""
        features = self.patch_embed(pixel_values)
        for layer in self.layers:
            features = layer(features)
        return BaseModelOutput(last_hidden_state=self.neck(features))


class ConvNorm(nn.Module):
    """A convolution without bias, and batch normalisation."""

    def __init__(self, inside: int, outside: int, size: int = 1, stride: int = 1, groups: int = 1) -> None:
        super().__init__()
        self.c = nn.Conv2d(inside, outside, size, stride, padding=size // 2, groups=groups, bias=False)
        self.bn = nn.BatchNorm2d(outside)

    def forward(self, features: Tensor) -> Tensor:
        """``[N, C, H, W]`` to ``[N, outside, H / stride, W / stride]``."""
        return self.bn(self.c(features))


class PatchEmbed(nn.Module):
    """Two convolutions of one pixel: no resolution is lost here."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.seq = nn.Sequential(ConvNorm(3, width // 2), nn.GELU(), ConvNorm(width // 2, width))

    def forward(self, pixels: Tensor) -> Tensor:
        """``[N, 3, H, W]`` to ``[N, width, H, W]``."""
        return self.seq(pixels)


class Stage(nn.Module):
    """Blocks of one width, convolutional in the first stage and with attention after it, then a merging."""

    def __init__(self, index: int) -> None:
        super().__init__()
        width = _WIDTHS[index]
        last = index == len(_WIDTHS) - 1
        blocks = [
            ConvBlock(width) if index == 0 else AttentionBlock(width, _HEADS[index], _WINDOWS[index])
            for _ in range(_DEPTHS[index])
        ]
        self.blocks = nn.ModuleList(blocks)
        self.downsample = None if last else Merging(width, _WIDTHS[index + 1], _STRIDES[index])

    def forward(self, features: Tensor) -> Tensor:
        """``[N, width, H, W]`` to what the next stage takes."""
        for block in self.blocks:
            features = block(features)
        return features if self.downsample is None else self.downsample(features)


class ConvBlock(nn.Module):
    """MobileNet's inverted bottleneck."""

    def __init__(self, width: int) -> None:
        super().__init__()
        hidden = width * _EXPANSION
        self.conv1 = ConvNorm(width, hidden)
        self.conv2 = ConvNorm(hidden, hidden, size=3, groups=hidden)
        self.conv3 = ConvNorm(hidden, width)

    def forward(self, features: Tensor) -> Tensor:
        """``[N, width, H, W]`` to the same shape."""
        inner = F.gelu(self.conv2(F.gelu(self.conv1(features))))
        return F.gelu(self.conv3(inner) + features)


class Merging(nn.Module):
    """To the next stage's width, and to half the resolution where the stride is 2."""

    def __init__(self, inside: int, outside: int, stride: int) -> None:
        super().__init__()
        self.conv1 = ConvNorm(inside, outside)
        self.conv2 = ConvNorm(outside, outside, size=3, stride=stride, groups=outside)
        self.conv3 = ConvNorm(outside, outside)

    def forward(self, features: Tensor) -> Tensor:
        """``[N, inside, H, W]`` to ``[N, outside, H / stride, W / stride]``."""
        return self.conv3(F.gelu(self.conv2(F.gelu(self.conv1(features)))))


class AttentionBlock(nn.Module):
    """Attention within windows, a depthwise convolution, and a perceptron on each cell."""

    def __init__(self, width: int, heads: int, window: int) -> None:
        super().__init__()
        self.attn = WindowAttention(width, heads, window)
        self.local_conv = ConvNorm(width, width, size=3, groups=width)
        self.mlp = Perceptron(width)

    def forward(self, features: Tensor) -> Tensor:
        """``[N, width, H, W]`` to the same shape."""
        cells = features.permute(0, 2, 3, 1)  # [N, H, W, width]
        features = (cells + self.attn(cells)).permute(0, 3, 1, 2)
        cells = self.local_conv(features).permute(0, 2, 3, 1)
        return (cells + self.mlp(cells)).permute(0, 3, 1, 2)


class WindowAttention(nn.Module):
    """Self-attention in each window, with a learned bias for each distance ``(rows, columns)``."""

    attention_bias_idxs: Tensor

    def __init__(self, width: int, heads: int, window: int) -> None:
        super().__init__()
        self.heads, self.window = heads, window
        self.norm = nn.LayerNorm(width)
        self.qkv = nn.Linear(width, 3 * width)
        self.proj = nn.Linear(width, width)
        self.attention_biases = nn.Parameter(torch.zeros(heads, window**2))
        self.register_buffer("attention_bias_idxs", _distance_indices(window), persistent=False)

    def forward(self, cells: Tensor) -> Tensor:
        """``[N, H, W, width]`` to the same shape."""
        height, width = cells.shape[1:3]
        # Padded cells are attended to, as they were in training.
        padded = F.pad(cells, (0, 0, 0, -width % self.window, 0, -height % self.window))
        attended = self._join(self._attend(self._split(padded)), padded.shape)
        return attended[:, :height, :width]

    def _attend(self, windows: Tensor) -> Tensor:
        """``[windows, cells, width]`` to the same shape."""
        count, cells, _ = windows.shape
        parts = self.qkv(self.norm(windows)).view(count, cells, self.heads, -1).transpose(1, 2)
        query, key, value = parts.chunk(3, dim=-1)  # each [windows, heads, cells, width / heads]
        bias = self.attention_biases[:, self.attention_bias_idxs]
        mixed = F.scaled_dot_product_attention(query, key, value, attn_mask=bias)
        return self.proj(mixed.transpose(1, 2).flatten(2))

    def _split(self, cells: Tensor) -> Tensor:
        """``[N, H, W, width]`` to ``[N * windows, cells, width]``."""
        n, height, width, channels = cells.shape
        grid = cells.view(n, height // self.window, self.window, width // self.window, self.window, channels)
        return grid.transpose(2, 3).reshape(-1, self.window**2, channels)

    def _join(self, windows: Tensor, shape: torch.Size) -> Tensor:
        """The inverse of `_split`."""
        n, height, width, channels = shape
        grid = windows.view(n, height // self.window, width // self.window, self.window, self.window, channels)
        return grid.transpose(2, 3).reshape(shape)


class Perceptron(nn.Module):
    """Two layers with a residual taken by the caller."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.fc1 = nn.Linear(width, _EXPANSION * width)
        self.fc2 = nn.Linear(_EXPANSION * width, width)

    def forward(self, cells: Tensor) -> Tensor:
        """``[..., width]`` to the same shape."""
        return self.fc2(F.gelu(self.fc1(self.norm(cells))))


class ChannelNorm(nn.Module):
    """Layer normalisation over the channels of ``[N, C, H, W]``."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(channels))
        self.bias = nn.Parameter(torch.zeros(channels))

    def forward(self, features: Tensor) -> Tensor:
        """``[N, C, H, W]`` to the same shape."""
        cells = features.permute(0, 2, 3, 1)
        return F.layer_norm(cells, self.weight.shape, self.weight, self.bias, eps=1e-6).permute(0, 3, 1, 2)


def _distance_indices(window: int) -> Tensor:
    """For each pair of cells of a window the index of their distance ``(rows, columns)``, ``[cells, cells]``."""
    cells = torch.cartesian_prod(torch.arange(window), torch.arange(window))
    rows, columns = (cells[:, None] - cells[None]).abs().unbind(-1)
    return rows * window + columns
