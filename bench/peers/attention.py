"""PyTorch's attention, float32, forward and backward.

Cases: attention/<softmax|poly3>[_bias]/<forward|backward>/<batch times heads>/<tokens>/<head width>. Variants: fused, by
scaled_dot_product_attention (softmax alone); by matrices, eager and compiled. A bias is one of each of 8 heads, as a
Swin transformer has it, and gets its gradient.
"""

import math

import peer  # first, because it says what to install
import torch
from torch.nn import functional as F

HEADS_WITH_BIAS = 8


def fused(q, k, v, bias=None):
    return F.scaled_dot_product_attention(q, k, v, attn_mask=bias)


def scores(q, k, bias):
    s = q @ k.transpose(-2, -1) * (1 / math.sqrt(q.shape[-1]))
    return s if bias is None else s + bias


def softmax(q, k, v, bias=None):
    return torch.softmax(scores(q, k, bias), -1) @ v


def cube(q, k, v, bias=None):
    return scores(q, k, bias) ** 3 @ v


def forward(function, inputs, bias):
    def call():
        with torch.no_grad():
            function(*inputs, bias)

    return peer.by_clock(call)


def backward(function, inputs, bias):
    leaves = [x.clone().requires_grad_() for x in inputs + ([] if bias is None else [bias])]
    out = function(*leaves)
    d_out = torch.randn_like(out)
    return peer.by_clock(lambda: torch.autograd.grad(out, leaves, d_out, retain_graph=True))


def variants(name):
    kind, activation, direction, *shape = name.split("/")
    activation, _, extra = activation.partition("_")
    if kind != "attention" or activation not in ("softmax", "poly3") or extra not in ("", "bias"):
        return {}
    heads, tokens, width = map(int, shape)
    batch, heads = (heads // HEADS_WITH_BIAS, HEADS_WITH_BIAS) if extra else (1, heads)
    inputs = [torch.randn(batch, heads, tokens, width) for _ in range(3)]
    bias = torch.randn(heads, tokens, tokens) if extra else None
    direct = {"forward": forward, "backward": backward}[direction]
    matrices = softmax if activation == "softmax" else cube
    ways = {"eager": lambda: direct(matrices, inputs, bias),
            "compiled": lambda: direct(peer.compiled(matrices), inputs, bias)}
    if activation == "softmax":
        ways["fused"] = lambda: direct(fused, inputs, bias)
    return ways


peer.run(peer.parse(__doc__), variants,
         [f"attention/{activation}/{direction}/16/1024/64" for activation in ("softmax", "poly3")
          for direction in ("forward", "backward")])
