"""PyTorch's attention on a GPU, forward and backward: the best softmax, and x^3 eager and compiled.

Cases: attention_cuda/<softmax|poly3>/<bf16|fp16|fp32>/<forward|backward>/<batch times heads>/<tokens>/<head width>.
Variants of softmax are the backends of scaled_dot_product_attention: flash, cudnn, efficient. They are what x^3 has to
beat, too. A call's seconds are a twentieth of those of twenty calls between two of CUDA's events.
"""

import math

import peer  # first, because it says what to install
import torch
from torch.nn import functional as F
from torch.nn.attention import SDPBackend, sdpa_kernel

BACKENDS = {"flash": SDPBackend.FLASH_ATTENTION, "cudnn": SDPBackend.CUDNN_ATTENTION,
            "efficient": SDPBackend.EFFICIENT_ATTENTION}
CALLS = 20
DTYPES = {"bf16": torch.bfloat16, "fp16": torch.float16, "fp32": torch.float32}


def cube(q, k, v):
    scores = q @ k.transpose(-2, -1) * (1 / math.sqrt(q.shape[-1]))
    return scores**3 @ v


def sdpa(backend):
    def run(q, k, v):
        with sdpa_kernel(backend):
            return F.scaled_dot_product_attention(q, k, v)

    return run


def by_events(work):
    """The mean of CALLS calls in a row, so that what the host does before a launch is hidden."""
    def timed():
        begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        begin.record()
        for _ in range(CALLS):
            work()
        end.record()
        end.synchronize()
        return begin.elapsed_time(end) * 1e-3 / CALLS

    return timed


def variants(name):
    kind, activation, dtype, direction, *shape = name.split("/")
    if kind != "attention_cuda" or activation not in ("softmax", "poly3") or dtype not in DTYPES:
        return {}
    if direction not in ("forward", "backward"):
        return {}
    heads, tokens, width = map(int, shape)
    *inputs, d_out = (torch.randn(1, heads, tokens, width, dtype=DTYPES[dtype]) for _ in range(4))

    def way(function):
        if direction == "forward":
            def call():
                with torch.no_grad():
                    function(*inputs)
        else:
            leaves = [x.clone().requires_grad_() for x in inputs]
            out = function(*leaves)

            def call():
                torch.autograd.grad(out, leaves, d_out, retain_graph=True)

        return by_events(call)

    softmax = "" if activation == "softmax" else "softmax by "
    ways = {softmax + key: lambda backend=backend: way(sdpa(backend)) for key, backend in BACKENDS.items()}
    cubes = {"eager": lambda: way(cube), "compiled": lambda: peer.surely_compiled(lambda: way(peer.compiled(cube)))}
    return ways if activation == "softmax" else ways | cubes


peer.run(peer.parse(__doc__), variants,
         [f"attention_cuda/{activation}/bf16/{direction}/64/4096/64" for activation in ("softmax", "poly3")
          for direction in ("forward", "backward")])
