"""torchvision's operators of detectors in eager PyTorch, float32.

Cases: region_align/<forward|step>/<batch>/<map's height and width>/<channels>/<regions>/<bins>, on one map of stride 4 with an
adaptive number of samples, and nms/<boxes>/<groups>. Variants of the former: maps in the default and in the channels_last
order.
"""

import peer  # first, because it says what to install
import numpy as np
import torch
from torchvision import ops


def numbers(i):
    """Numbers from 0 to 1, those of the benchmark."""
    x = i.astype(np.uint32) * np.uint32(2654435761)
    x ^= x >> np.uint32(16)
    x *= np.uint32(2246822519)
    x ^= x >> np.uint32(13)
    return torch.from_numpy((x >> np.uint32(8)).astype(np.float32) * np.float32(2**-24))


def random_boxes(count, side, most):
    x, y, w, h = numbers(np.arange(4 * count)).reshape(count, 4).unbind(1)
    x, y, w, h = side * x, side * y, 8 + (most - 8) * w, 8 + (most - 8) * h
    return torch.stack([x - w / 2, y - h / 2, x + w / 2, y + h / 2], 1)


def align(direction, batch, size, channels, regions, bins, order):
    images = torch.arange(regions) % batch
    rois = torch.cat([images[:, None].float(), random_boxes(regions, 4 * size, 2 * size)], 1)
    x = torch.randn(batch, channels, size, size).contiguous(memory_format=order).requires_grad_()
    d_y = torch.randn(regions, channels, bins, bins)

    def forward():
        return ops.roi_align(x, rois, (bins, bins), 0.25, 0, aligned=True)

    def evaluate():
        with torch.no_grad():
            forward()

    return peer.by_clock(evaluate if direction == "forward" else lambda: torch.autograd.grad(forward(), x, d_y))


def suppress(count, groups):
    boxes, scores = random_boxes(count, 800, 300), numbers(np.arange(count) + 1000000)
    group_of = (numbers(np.arange(count) + 2000000) * groups).long()
    return peer.by_clock(lambda: ops.batched_nms(boxes, scores, group_of, 0.7))


def variants(name):
    kind, *sizes = name.split("/")
    if kind == "nms":
        return {"eager": lambda: suppress(*map(int, sizes))}
    if kind != "region_align" or sizes[0] not in ("forward", "step"):
        return {}
    return {text: lambda order=order: align(sizes[0], *map(int, sizes[1:]), order)
            for text, order in (("channels first", torch.contiguous_format), ("channels_last", torch.channels_last))}


peer.run(peer.parse(__doc__), variants, ["region_align/forward/2/200/256/1024/7", "region_align/step/2/200/256/1024/7",
                                         "nms/8000/5"])
