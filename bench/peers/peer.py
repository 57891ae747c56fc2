"""What the peer scripts share: their common flags, the timing loop, and the line of JSON that each case prints.

A line has: name, seconds (median), min_seconds, repeats, flops, gflops, threads, torch, processors (that this process may
run on), and `variant` where one case runs in several ways. Programs that run these scripts as a child process read
standard output line by line; everything else goes to standard error.
"""

import argparse
import json
import os
import statistics
import sys
import time

try:
    import torch
except ImportError as error:
    sys.exit(f"{sys.argv[0]}: install the packages of bench/peers/requirements.txt first ({error})")


def parse(description, add_flags=lambda parser: None):
    """The flags of one script, and PyTorch set up as they say."""
    parser = argparse.ArgumentParser(description=description,
                                     formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads(), help="threads that PyTorch may use")
    parser.add_argument("--min-time", type=float, default=0.5, help="seconds to repeat each case for, warm-up apart")
    add_flags(parser)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    torch.manual_seed(0)
    return arguments


def extents(text):
    """"96,197,64" -> (96, 197, 64), for argparse."""
    values = tuple(int(part) for part in text.split(","))
    if len(values) != 3 or min(values) < 1:
        raise argparse.ArgumentTypeError(f"three positive whole numbers with commas between them, not '{text}'")
    return values


def repeat(timed, min_time):
    """The seconds that each call of `timed` returns: at least five and `min_time` seconds of them, after two and a tenth
    of it to warm up."""
    def collect(least, duration):
        seconds, began = [], time.perf_counter()
        while len(seconds) < least or time.perf_counter() - began < duration:
            seconds.append(timed())
        return seconds

    collect(2, 0.1 * min_time)
    return collect(5, min_time)


def measure(work, min_time):
    """Seconds of each repeat of `work`, by the clock."""
    def timed():
        start = time.perf_counter()
        work()
        return time.perf_counter() - start

    return repeat(timed, min_time)


def report(name, seconds, flops, peak=None, **more):
    """Prints the case and returns its median GFLOP/s; `peak` is the rate to compare it with."""
    median = statistics.median(seconds)
    gflops = flops / median * 1e-9
    if peak is not None:
        more["gemm_fraction"] = gflops / peak
    print(json.dumps({"name": name, "seconds": median, "min_seconds": min(seconds), "repeats": len(seconds),
                      "flops": flops, "gflops": gflops, "threads": torch.get_num_threads(),
                      "torch": torch.__version__, "processors": sorted(os.sched_getaffinity(0))} | more), flush=True)
    return gflops


def gemm(m, k, n, min_time):
    """(m, k) times (k, n), float32, into a matrix that is there already."""
    a, b, c = torch.randn(m, k), torch.randn(k, n), torch.empty(m, n)
    return report(f"gemm/{m}/{k}/{n}", measure(lambda: (torch.mm(a, b, out=c), wait()), min_time), 2 * m * k * n)


def wait():
    """Until the work of the default device is done."""
    if torch.get_default_device().type == "cuda":
        torch.cuda.synchronize()
