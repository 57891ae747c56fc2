"""PyTorch's attention, float32, forward and backward: softmax by scaled_dot_product_attention (fused), x^3 by matrices.

The first line is a square matrix product, PyTorch's own peak; `gemm_fraction` is a case's rate over that one.
Operations are counted as 4 B N^2 d forward and 10 B N^2 d backward (five products, the scores being made again), for
either activation, so that rates compare as times do. Softmax's exponentials and the cubes are not counted.
"""

import math

import peer  # first, because it says what to install
import torch
from torch.nn import functional as F

DEFAULT = [(96, 197, 64), (12, 256, 64), (16, 1024, 64), (8, 2048, 64), (2, 4096, 32), (64, 1024, 32), (2048, 49, 32)]


def softmax(q, k, v):
    return F.scaled_dot_product_attention(q, k, v)


def cube(q, k, v):
    scores = q @ k.transpose(-2, -1) * (1 / math.sqrt(q.shape[-1]))
    return scores**3 @ v


def flags(parser):
    parser.add_argument("--shape", type=peer.extents, action="append", metavar="B,N,D",
                        help=f"batch times heads, tokens, head width; may be repeated; without it {DEFAULT}")
    parser.add_argument("--activation", choices=["softmax", "poly3"], action="append", help="without it both")
    parser.add_argument("--pass", choices=["forward", "backward"], action="append", dest="passes",
                        help="without it both")
    parser.add_argument("--compile", action="store_true", help="x^3 through torch.compile (needs a C++ compiler)")


arguments = peer.parse(__doc__, flags)
if arguments.compile:  # the backward pass is timed alone, so its inputs must outlive it
    import torch._functorch.config
    torch._functorch.config.donated_buffer = False
passes = arguments.passes or ["forward", "backward"]
peak = peer.gemm(1024, 1024, 1024, arguments.min_time)
for shape in arguments.shape or DEFAULT:
    heads, tokens, width = shape
    for activation in arguments.activation or ["softmax", "poly3"]:
        torch._dynamo.reset()  # after several shapes of one function the compiler would run it uncompiled
        function = {"softmax": softmax, "poly3": torch.compile(cube) if arguments.compile else cube}[activation]
        q, k, v, d_out = (torch.randn(1, heads, tokens, width) for _ in range(4))
        for name in passes:
            if name == "forward":
                with torch.no_grad():
                    seconds = peer.measure(lambda: function(q, k, v), arguments.min_time)
            else:
                leaves = [x.clone().requires_grad_() for x in (q, k, v)]
                out = function(*leaves)
                seconds = peer.measure(lambda: torch.autograd.grad(out, leaves, d_out, retain_graph=True),
                                       arguments.min_time)
            flops = {"forward": 4, "backward": 10}[name] * heads * tokens**2 * width
            peer.report(f"attention/{activation}/{name}/{heads}/{tokens}/{width}", seconds, flops, peak,
                        variant={"softmax": "fused", "poly3": "compiled" if arguments.compile else "eager"}[activation])
