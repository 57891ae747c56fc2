"""One convolution in PyTorch, float32, without a bias: forward, and a step with the gradients of maps and weights.

Cases: convolution/<forward|step>/<batch>/<height and width>/<inputs>/<outputs>/<kernel>/<stride>/<groups>, with half the
kernel of padding. Variants: maps in the default and in the channels_last order, eager and compiled.
"""

import peer  # first, because it says what to install
import torch
from torch import nn


def variants(name):
    kind, direction, *sizes = name.split("/")
    if kind != "convolution" or direction not in ("forward", "step"):
        return {}
    batch, size, inputs, outputs, kernel, stride, groups = map(int, sizes)

    def way(order, prepare):
        layer = nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, groups=groups, bias=False)
        layer = layer.to(memory_format=order)
        x = torch.randn(batch, inputs, size, size).contiguous(memory_format=order).requires_grad_()
        d_y = torch.randn_like(layer(x).detach()).contiguous(memory_format=order)
        weight, layer = layer.weight, prepare(layer)

        def forward():
            with torch.no_grad():
                layer(x)

        def step():
            torch.autograd.grad(layer(x), (x, weight), d_y)

        return peer.by_clock(forward if direction == "forward" else step)

    return {f"{text}, {place}": lambda order=order, prepare=prepare: way(order, prepare)
            for text, prepare in (("eager", lambda layer: layer), ("compiled", peer.compiled))
            for place, order in (("channels first", torch.contiguous_format), ("channels_last", torch.channels_last))}


peer.run(peer.parse(__doc__), variants, [f"convolution/{direction}/32/56/64/64/3/1/1" for direction in ("forward", "step")])
