"""What the peer scripts share: their common flags, the timing, and how they take turns with the program that started them.

A script has a function that gives the ways in which PyTorch does a case: `variants(name)` returns a dictionary from a
variant's name (eager, compiled, fused, ...) to a function that prepares it and returns a callable; that one makes a call
and returns its seconds. `run` measures cases by name. With --serve it answers lines of JSON instead:
    {"prepare": NAME}                 -> {"variants": [...], "torch", "threads", "processors"}: those that can be run
    {"turn": VARIANT, "seconds": S}   -> {"median": seconds of a call, "calls": their number}
Standard output has these lines alone; everything else goes to standard error.
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
    parser.add_argument("--device", default="cpu", help="of PyTorch")
    parser.add_argument("--serve", action="store_true", help="answer lines of JSON")
    parser.add_argument("--case", action="append", metavar="NAME", help="to measure; may be repeated")
    parser.add_argument("--seconds", type=float, default=0.5, help="to repeat each case for, warm-up apart")
    add_flags(parser)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    torch.set_default_device(arguments.device)
    torch.manual_seed(0)
    return arguments


def by_clock(work):
    """`work` and what it put on a device, by the clock, in seconds."""
    def timed():
        start = time.perf_counter()
        work()
        wait()
        return time.perf_counter() - start

    return timed


def turn(timed, seconds):
    """The seconds of each call: for `seconds` and at least one, after a tenth of them to warm up."""
    def collect(duration):
        times, began = [], time.perf_counter()
        while not times or time.perf_counter() - began < duration:
            times.append(timed())
        return times

    collect(0.1 * seconds)
    return collect(seconds)


def prepare(ways):
    """Those of the variants that can be run, each called twice; the others are said to standard error."""
    prepared = {}
    for variant, make in ways.items():
        try:
            timed = make()
            timed(), timed()
            prepared[variant] = timed
        except Exception as error:  # whatever a compiler or a backend refuses
            print(f"{variant}: {type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}",
                  file=sys.stderr)
    return prepared


def about():
    """What ran, and on which processors."""
    return {"threads": torch.get_num_threads(), "torch": torch.__version__,
            "processors": sorted(os.sched_getaffinity(0))}


def run(arguments, variants, defaults):
    """Measures the cases that the flags name, or `defaults`; or answers questions."""
    if arguments.serve:
        prepared = {}
        for line in sys.stdin:
            question = json.loads(line)
            if "prepare" in question:
                prepared.clear()  # models of the case before
                torch._dynamo.reset()  # after several shapes of one function the compiler would run it uncompiled
                prepared.update(prepare(variants(question["prepare"])))
                answer = {"variants": list(prepared)} | about()
            else:
                times = turn(prepared[question["turn"]], question["seconds"])
                answer = {"median": statistics.median(times), "calls": len(times)}
            print(json.dumps(answer), flush=True)
        return
    for name in arguments.case or defaults:
        torch._dynamo.reset()
        for variant, timed in prepare(variants(name)).items():
            times = turn(timed, arguments.seconds)
            print(json.dumps({"name": name, "variant": variant, "seconds": statistics.median(times),
                              "calls": len(times)} | about()), flush=True)


def compiled(function):
    """Through torch.compile, for one shape. The backward pass may be timed alone, so its inputs must outlive it."""
    import torch._functorch.config

    torch._functorch.config.donated_buffer = False
    return torch.compile(function, dynamic=False)


def surely_compiled(make):
    """What `make` prepares by torch.compile, after a call. It raises where that ran uncompiled: it would be no peer."""
    from torch._dynamo.utils import counters

    counters.clear()
    timed = make()
    timed()
    frames = counters["frames"]
    if frames["total"] == 0 or frames["ok"] != frames["total"]:
        raise RuntimeError(f"torch.compile left something uncompiled: {dict(frames)}")
    return timed


def training_step(forward, optimizer, inputs, labels, narrow=False):
    """Seconds of forward, cross-entropy, backward and the optimizer; products in bf16 by torch.autocast if `narrow`."""
    def step():
        with torch.autocast(torch.get_default_device().type, dtype=torch.bfloat16, enabled=narrow):
            loss = torch.nn.functional.cross_entropy(forward(inputs), labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()

    return by_clock(step)


def wait():
    """Until the work of the default device is done."""
    if torch.get_default_device().type == "cuda":
        torch.cuda.synchronize()
