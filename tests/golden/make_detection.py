"""Golden data of the parts of detectors, from torchvision's operators; what it does not have is written here once more.

Maps are stored channels last.

Run: python make_detection.py [--check]
"""

import math

import numpy as np
import torch
from torch.nn import functional as F
from torchvision import ops
from torchvision.models.detection._utils import BoxCoder

import golden


class Boxes:
    """Boxes within an image, corners rounded to float32."""

    def __init__(self, seed):
        self._stream = np.random.RandomState(seed)

    def uniform(self, *shape, low=0.0, high=1.0):
        values = self._stream.uniform(low, high, shape)
        return torch.from_numpy(values.astype(np.float32).astype(np.float64))

    def __call__(self, n, height, width, least=2.0, most=60.0):
        middle = self.uniform(n, 2) * torch.tensor([width, height])
        size = self.uniform(n, 2, low=least, high=most)
        boxes = torch.cat([middle - size / 2, middle + size / 2], 1)
        return boxes.float().double()


def anchors(maps, ratios, scales):
    """mmdetection's AnchorGenerator with an offset of zero."""
    found = []
    for height, width, stride in maps:
        for y in range(height):
            for x in range(width):
                for ratio in ratios:
                    for scale in scales:
                        h, w = stride * math.sqrt(ratio) * scale, stride / math.sqrt(ratio) * scale
                        found.append([x * stride - w / 2, y * stride - h / 2, x * stride + w / 2, y * stride + h / 2])
    return torch.tensor(found)


def assign(overlaps, positive, negative, low_quality, least, usable=None):
    """mmdetection's MaxIoUAssigner: -1 nothing, -2 ignored."""
    objects, boxes = overlaps.shape
    matches = torch.full((boxes,), -2, dtype=torch.int64)
    chosen = torch.arange(boxes) if usable is None else usable.nonzero().flatten()
    part = overlaps[:, chosen]
    result = torch.full((len(chosen),), -2, dtype=torch.int64)
    if objects == 0:
        result[:] = -1
    else:
        best, which = part.max(0)
        result[best < negative] = -1
        result[best >= positive] = which[best >= positive]
        if low_quality:
            largest = part.max(1).values
            for g in range(objects):
                if largest[g] >= least:
                    result[part[g] == largest[g]] = g
    matches[chosen] = result
    return matches


def save_boxes(store):
    boxes = Boxes(1)
    a, b = boxes(9, 50, 70), boxes(5, 50, 70)
    a[4] = b[2]
    store.array("iou_a", a)
    store.array("iou_b", b)
    store.array("iou", ops.box_iou(a, b))

    store.array("anchors", anchors([(3, 4, 4), (2, 1, 8)], [0.5, 1, 2], [8, 3]))

    coder = BoxCoder((10.0, 10.0, 5.0, 5.0))
    codes = coder.encode_single(b, a[:5])
    deltas = boxes.uniform(5, 12, low=-3, high=3)
    decoded = coder.decode_single(deltas, a[:5]).reshape(-1, 4)
    store.array("coder_codes", codes)
    store.array("coder_deltas", deltas)
    store.array("coder_decoded", decoded)
    store.array("coder_clipped", ops.clip_boxes_to_image(decoded, (50, 70)))


def save_matching(store):
    boxes = Boxes(2)
    # Quarters, so that overlaps tie.
    overlaps = (boxes.uniform(6, 80) * 8).round() / 8
    overlaps[3] *= 0.25
    usable = boxes.uniform(80) > 0.2
    store.array("match_overlaps", overlaps)
    store.array("match_usable", usable.to(torch.uint8).numpy())
    store.array("match_anchors", assign(overlaps, 0.7, 0.3, True, 0.3))
    store.array("match_usable_anchors", assign(overlaps, 0.7, 0.3, True, 0.3, usable))
    store.array("match_boxes", assign(overlaps, 0.5, 0.5, True, 0.5))
    store.array("match_plain", assign(overlaps, 0.625, 0.5, False, 0.0))


def save_nms(store):
    boxes = Boxes(3)
    images = [boxes(400, 90, 120, 10.0, 70.0) for _ in range(2)]
    scores = boxes.uniform(2, 400)
    scores[1, 100:120] = scores[1, 100]  # of equal scores the first is better
    groups = (boxes.uniform(2, 400) * 5).floor().long()
    store.array("nms_boxes", torch.stack(images))
    store.array("nms_scores", scores)
    store.array("nms_groups", groups)
    for b in range(2):
        store.array(f"nms_kept_{b}", ops.nms(images[b], scores[b], 0.45))
        store.array(f"nms_kept_of_groups_{b}", ops.batched_nms(images[b], scores[b], groups[b], 0.6))


def save_alignment(store):
    boxes, normal = Boxes(4), golden.Normal(seed=41)
    maps = [normal(2, 19, 13, 17), normal(2, 19, 7, 9)]  # of strides 4 and 8
    regions = boxes(11, 52, 68, 1.0, 75.0)
    regions[3] = regions[3, [2, 1, 0, 3]]  # corners in the wrong order: nothing, where torchvision fails
    regions[4] = torch.tensor([5.0, 7.0, 5.0, 30.0])  # no area
    regions[5] = torch.tensor([-90.0, -80.0, -50.0, -50.0])  # outside
    regions[6] = torch.tensor([-30.0, 1.0, 400.0, 3.5])  # many samples across
    images = (boxes.uniform(11) * 2).floor().long()
    store.array("align_boxes", regions)
    store.array("align_images", images)
    for i, values in enumerate(maps):
        store.array(f"align_maps_{i}", values.movedim(1, -1))
    rois = torch.cat([images[:, None].double(), regions], 1)
    area = (regions[:, 2] - regions[:, 0]).clamp(min=0) * (regions[:, 3] - regions[:, 1]).clamp(min=0)
    level = (area.sqrt() / 20 + 1e-6).log2().floor().clamp(0, 1)

    for size, pyramid in ((3, True), (7, False)):
        inputs = [m.clone().requires_grad_() for m in maps]
        y = torch.zeros(11, 19, size, size)
        for i, scale in enumerate((1 / 4, 1 / 8)):
            which = ((level == i) if pyramid else torch.full((11,), i == 0)) & (area > 0)
            pooled = ops.roi_align(inputs[i], rois[which], (size, size), scale, 0, aligned=True)
            y = y.index_put((which.nonzero().flatten(),), pooled)
        d_y = normal(*y.shape)
        d_maps = torch.autograd.grad(y, inputs, d_y, allow_unused=True)
        name = f"align_{size}"
        store.array(f"{name}_y", y.movedim(1, -1))
        store.array(f"{name}_d_y", d_y.movedim(1, -1))
        for i, d in enumerate(d_maps):
            if d is not None:
                store.array(f"{name}_d_maps_{i}", d.movedim(1, -1))


def save_masks(store):
    boxes = Boxes(5)
    masks = boxes.uniform(4, 28, 28).numpy()
    masks = torch.from_numpy(np.float32(masks)).double()
    places = boxes(4, 40, 53, 6.0, 60.0)
    height, width = 40, 53
    pasted = []
    for mask, (x0, y0, x1, y1) in zip(masks, places):
        y = (torch.arange(height) + 0.5 - y0) / (y1 - y0) * 2 - 1
        x = (torch.arange(width) + 0.5 - x0) / (x1 - x0) * 2 - 1
        grid = torch.stack([x[None].expand(height, width), y[:, None].expand(height, width)], -1)
        pasted.append(F.grid_sample(mask[None, None], grid[None], align_corners=False)[0, 0] >= 0.5)
    store.array("paste_masks", masks)
    store.array("paste_boxes", places)
    store.array("paste_pixels", torch.stack(pasted).to(torch.uint8).numpy())

    pictures = torch.zeros(3, height, width)
    rows, columns = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    for g, (y, x, r) in enumerate([(15, 20, 11.3), (25, 35, 14.2), (9, 44, 7.7)]):
        pictures[g] = ((rows - y) ** 2 * 1.3 + (columns - x) ** 2) < r * r
    regions, which = boxes(8, height, width, 8.0, 50.0), (boxes.uniform(8) * 3).floor().long()
    cropped = ops.roi_align(pictures[:, None], torch.cat([which[:, None].double(), regions], 1), (14, 14), 1.0, 0,
                            aligned=True)[:, 0]
    assert ((cropped - 0.5).abs() > 1e-6).all(), "a cell is half inside: choose other boxes"
    store.array("crop_pictures", pictures.to(torch.uint8).numpy())
    store.array("crop_boxes", regions)
    store.array("crop_numbers", which)
    store.array("crop_targets", (cropped >= 0.5).to(torch.uint8).numpy())


if __name__ == "__main__":
    golden_store = golden.Store("detection", __doc__)
    save_boxes(golden_store)
    save_matching(golden_store)
    save_nms(golden_store)
    save_alignment(golden_store)
    save_masks(golden_store)
    golden_store.close()
