"""One convolution in PyTorch, float32, without a bias: forward, and a step with the gradients of maps and weights.

Maps in the default and in the channels_last order, eager and compiled.
"""

import peer  # first, because it says what to install
import torch
from torch import nn


def flags(parser):
    sizes = [("batch", 32, "images"), ("size", 56, "height and width"), ("inputs", 64, "channels"),
             ("outputs", 64, "channels"), ("kernel", 3, "height and width; padding is half of it"), ("stride", 1, ""),
             ("groups", 1, "")]
    for name, default, meaning in sizes:
        parser.add_argument(f"--{name}", type=int, default=default, help=meaning)
    parser.add_argument("--eager", action="store_true", help="nothing is compiled (which needs a C++ compiler)")


def variants(eager):
    """(name, layer, maps, gradient) for each way."""
    for order in (torch.contiguous_format, torch.channels_last):
        layer = nn.Conv2d(a.inputs, a.outputs, a.kernel, a.stride, a.kernel // 2, groups=a.groups, bias=False)
        layer = layer.to(memory_format=order)
        x = torch.randn(a.batch, a.inputs, a.size, a.size).contiguous(memory_format=order).requires_grad_()
        d_y = torch.randn_like(layer(x).detach()).contiguous(memory_format=order)
        text = "channels_last" if order == torch.channels_last else "channels first"
        yield f"eager, {text}", layer, x, d_y
        if not eager:
            yield f"compiled, {text}", torch.compile(layer), x, d_y


a = peer.parse(__doc__, flags)
output = (a.size + 2 * (a.kernel // 2) - a.kernel) // a.stride + 1
flops = 2 * a.batch * output**2 * a.outputs * (a.inputs // a.groups) * a.kernel**2
sizes = "/".join(str(n) for n in (a.batch, a.size, a.inputs, a.outputs, a.kernel, a.stride, a.groups))
for variant, layer, x, d_y in variants(a.eager):
    weight = next(layer.parameters())

    def forward():
        with torch.no_grad():
            layer(x)

    def step():
        torch.autograd.grad(layer(x), (x, weight), d_y)

    peer.report(f"convolution/forward/{sizes}", peer.measure(forward, a.min_time), flops, variant=variant)
    peer.report(f"convolution/step/{sizes}", peer.measure(step, a.min_time), 3 * flops, variant=variant)
