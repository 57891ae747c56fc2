"""PyTorch's attention on a GPU, forward and backward: the best softmax, and x^3 eager and compiled.

Softmax runs by each backend of scaled_dot_product_attention that takes the case: flash, cudnn, efficient; "variant" of a
line says which. The fastest is also what x^3 has to beat: it is repeated under the name of poly3. Times are those of
CUDA's events around twenty calls, a twentieth each. Operations are counted as 4 B N^2 d forward, 10 B N^2 d backward.
The compiler starts anew at each shape: after several shapes of one function it would run it uncompiled, without a word.
"""

import math
import statistics
import sys

import peer  # first, because it says what to install
import torch
from torch._dynamo.utils import counters
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


def flags(parser):
    parser.add_argument("--shape", type=peer.extents, action="append", metavar="B,N,D", required=True,
                        help="batch times heads, tokens, head width; may be repeated")
    parser.add_argument("--device", default="cuda", help="of PyTorch")
    parser.add_argument("--dtype", choices=DTYPES, default="bf16", help="of all tensors")


def measure(function, inputs, d_out, name, min_time):
    """Seconds of each repeat of one pass; None where the backend does not take the case or memory is short."""
    def seconds(work):
        begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        begin.record()
        for _ in range(CALLS):
            work()
        end.record()
        end.synchronize()
        return begin.elapsed_time(end) * 1e-3 / CALLS

    try:
        if name == "forward":
            with torch.no_grad():
                return peer.repeat(lambda: seconds(lambda: function(*inputs)), min_time)
        leaves = [x.clone().requires_grad_() for x in inputs]
        out = function(*leaves)
        return peer.repeat(lambda: seconds(lambda: torch.autograd.grad(out, leaves, d_out, retain_graph=True)), min_time)
    except (RuntimeError, torch.OutOfMemoryError):
        return None


def was_compiled():
    """Whether every frame that the compiler saw since it was reset came out compiled."""
    frames = counters["frames"]
    return frames["total"] > 0 and frames["ok"] == frames["total"]


arguments = peer.parse(__doc__, flags)
import torch._functorch.config  # the backward pass is timed alone, so its inputs must outlive it

torch._functorch.config.donated_buffer = False
for heads, tokens, width in arguments.shape:
    torch._dynamo.reset()
    counters.clear()
    compiled = torch.compile(cube, dynamic=False, fullgraph=True)
    *inputs, d_out = (torch.randn(1, heads, tokens, width, device=arguments.device, dtype=DTYPES[arguments.dtype])
                      for _ in range(4))
    for name in ["forward", "backward"]:
        flops = {"forward": 4, "backward": 10}[name] * heads * tokens**2 * width
        case = f"{arguments.dtype}/{name}/{heads}/{tokens}/{width}"
        functions = {("softmax", key): sdpa(backend) for key, backend in BACKENDS.items()}
        functions |= {("poly3", "eager"): cube, ("poly3", "compiled"): compiled}
        softmax = {}
        for (activation, variant), function in functions.items():
            times = measure(function, inputs, d_out, name, arguments.min_time)
            if times is None:
                continue
            if variant == "compiled" and not was_compiled():
                sys.exit(f"{case}: torch.compile did not compile x^3, so it is no peer: {dict(counters['frames'])}")
            peer.report(f"attention_cuda/{activation}/{case}", times, flops, variant=variant,
                        device=torch.cuda.get_device_name())
            if activation == "softmax":
                softmax[variant] = times
        if softmax:
            best = min(softmax, key=lambda variant: statistics.median(softmax[variant]))
            peer.report(f"attention_cuda/poly3/{case}", softmax[best], flops, variant=f"softmax by {best}")
