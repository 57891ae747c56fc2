"""Weights of attn in timm's models and back, the trained numbers of activations included."""

import safetensors
import safetensors.torch
import torch


def load(model, path):
    """Names are timm's. What timm has no place for, the numbers of an activation, gets one: attn.activation.scale."""
    weights = safetensors.torch.load_file(path)
    for name in weights:
        place, _, number = name.partition(".activation.")
        if number:
            attention = model.get_submodule(place)
            if not hasattr(attention, "activation"):
                attention.activation = torch.nn.Module()
            attention.activation.register_parameter(number, torch.nn.Parameter(weights[name]))
    model.load_state_dict(weights)


def save(model, path, like):
    """As a file of attn, described as the file `like` is. Its checksum was one of other numbers."""
    with safetensors.safe_open(like, "pt") as file:
        metadata = {key: text for key, text in file.metadata().items() if not key.endswith("checksum")}
    state = {name: x.detach().float().contiguous() for name, x in model.state_dict().items()}
    safetensors.torch.save_file(state, path, metadata)


class PolyAttention(torch.nn.Module):
    """timm's attention with w = c s^power in the place of softmax; c is `activation.scale`, else 1/sqrt(keys) or 1."""

    def __init__(self, attention, power, fixed=None):
        super().__init__()
        self.qkv, self.proj = attention.qkv, attention.proj
        self.num_heads, self.power, self.fixed = attention.num_heads, power, fixed

    def forward(self, x, **_):
        b, n, c = x.shape
        q, k, v = self.qkv(x).reshape(b, n, 3, self.num_heads, -1).permute(2, 0, 3, 1, 4)
        scores = q @ k.transpose(2, 3) * (c // self.num_heads) ** -0.5
        factor = self.activation.scale.reshape(-1, 1, 1) if hasattr(self, "activation") else self.fixed or 1
        return self.proj((factor * scores**self.power @ v).transpose(1, 2).reshape(b, n, c))
