"""Golden data of a small Mask R-CNN on an XCiT: the five losses, and the gradient of every parameter, for one batch of
images of unlike sizes, one of them without objects, with fixed proposals and all anchors and regions sampled.

The transformer's blocks are timm's, regions are read by torchvision's roi_align; the rest is written here.
Run: python make_mask_rcnn.py [--check]
"""

import math
from functools import partial

import numpy as np
import torch
from timm.models.xcit import ConvPatchEmbed, PositionalEncodingFourier, XCABlock
from torch import nn
from torch.nn import functional as F
from torchvision import ops
from torchvision.models.detection._utils import BoxCoder

import golden
from make_detection import anchors, assign

WIDTH, DEPTH, HEADS, PYRAMID, HIDDEN, CLASSES, SCALE, FINEST = 16, 4, 2, 8, 12, 3, 4, 6
HEIGHT, LENGTH = 64, 96
SIZES = [(64, 96), (50, 71), (61, 33)]
OBJECTS = [2, 0, 1]


class Backbone(nn.Module):
    def __init__(self):
        super().__init__()
        self.patch_embed = ConvPatchEmbed(patch_size=16, embed_dim=WIDTH)
        self.pos_embeder = PositionalEncodingFourier(dim=WIDTH)
        norm = partial(nn.LayerNorm, eps=1e-6)
        self.blocks = nn.ModuleList(
            XCABlock(WIDTH, HEADS, mlp_ratio=2.0, qkv_bias=True, norm_layer=norm) for _ in range(DEPTH))

        def enlarge():
            return nn.ConvTranspose2d(WIDTH, WIDTH, 2, 2)

        self.fpn1 = nn.Sequential(enlarge(), nn.BatchNorm2d(WIDTH), nn.GELU(), enlarge())
        self.fpn2 = nn.Sequential(enlarge())

    def forward(self, x):
        x, (height, width) = self.patch_embed(x)
        x = x + self.pos_embeder(len(x), height, width).flatten(2).transpose(1, 2)
        maps = []
        for block in self.blocks:
            x = block(x, height, width)
            maps.append(x.transpose(1, 2).reshape(len(x), WIDTH, height, width))
        return self.fpn1(maps[0]), self.fpn2(maps[1]), maps[2], F.max_pool2d(maps[3], 2, 2)


class Conv(nn.Module):
    """A convolution by the name that mmcv gives it."""

    def __init__(self, inputs, outputs, kernel):
        super().__init__()
        self.conv = nn.Conv2d(inputs, outputs, kernel, padding=kernel // 2)

    def forward(self, x):
        return self.conv(x)


class Neck(nn.Module):
    def __init__(self):
        super().__init__()
        self.lateral_convs = nn.ModuleList(Conv(WIDTH, PYRAMID, 1) for _ in range(4))
        self.fpn_convs = nn.ModuleList(Conv(PYRAMID, PYRAMID, 3) for _ in range(4))

    def forward(self, maps):
        laterals = [conv(x) for conv, x in zip(self.lateral_convs, maps)]
        for i in (3, 2, 1):
            laterals[i - 1] = laterals[i - 1] + F.interpolate(laterals[i], size=laterals[i - 1].shape[2:])
        outputs = [conv(x) for conv, x in zip(self.fpn_convs, laterals)]
        return outputs + [F.max_pool2d(outputs[-1], 1, 2)]


class ProposalHead(nn.Module):
    def __init__(self):
        super().__init__()
        self.rpn_conv = nn.Conv2d(PYRAMID, PYRAMID, 3, padding=1)
        self.rpn_cls = nn.Conv2d(PYRAMID, 3, 1)
        self.rpn_reg = nn.Conv2d(PYRAMID, 12, 1)

    def forward(self, maps):
        logits, codes = [], []
        for x in maps:
            x = F.relu(self.rpn_conv(x))
            logits.append(self.rpn_cls(x).permute(0, 2, 3, 1).flatten(1))
            codes.append(self.rpn_reg(x).permute(0, 2, 3, 1).reshape(len(x), -1, 4))
        return torch.cat(logits, 1), torch.cat(codes, 1)


class BoxHead(nn.Module):
    def __init__(self):
        super().__init__()
        self.shared_fcs = nn.ModuleList([nn.Linear(49 * PYRAMID, HIDDEN), nn.Linear(HIDDEN, HIDDEN)])
        self.fc_cls = nn.Linear(HIDDEN, CLASSES + 1)
        self.fc_reg = nn.Linear(HIDDEN, 4 * CLASSES)

    def forward(self, x):
        x = x.flatten(1)
        for layer in self.shared_fcs:
            x = F.relu(layer(x))
        return self.fc_cls(x), self.fc_reg(x)


class MaskHead(nn.Module):
    def __init__(self):
        super().__init__()
        self.convs = nn.ModuleList(Conv(PYRAMID, PYRAMID, 3) for _ in range(2))
        self.upsample = nn.ConvTranspose2d(PYRAMID, PYRAMID, 2, 2)
        self.conv_logits = nn.Conv2d(PYRAMID, CLASSES, 1)

    def forward(self, x):
        for conv in self.convs:
            x = F.relu(conv(x))
        return self.conv_logits(F.relu(self.upsample(x)))


class Detector(nn.Module):
    def __init__(self):
        super().__init__()
        self.backbone, self.neck, self.rpn_head = Backbone(), Neck(), ProposalHead()
        self.roi_head = nn.Module()
        self.roi_head.bbox_head, self.roi_head.mask_head = BoxHead(), MaskHead()


def align(pyramid, regions, images, size):
    side = ((regions[:, 2] - regions[:, 0]) * (regions[:, 3] - regions[:, 1])).sqrt()
    level = (side / FINEST + 1e-6).log2().floor().clamp(0, 3)
    print("regions on each map:", [int((level == i).sum()) for i in range(4)])
    rois = torch.cat([images[:, None].to(regions), regions], 1)
    y = regions.new_zeros(len(regions), PYRAMID, size, size)
    for i in range(4):
        which = (level == i).nonzero().flatten()
        pooled = ops.roi_align(pyramid[i], rois[which], (size, size), 1 / (4 << i), 0, aligned=True)
        y = y.index_put((which,), pooled)
    return y


def far_from_thresholds(overlaps, thresholds):
    """Whether rounding to float32 cannot change what matches."""
    for threshold in thresholds:
        if overlaps.numel() and (overlaps - threshold).abs().min() < 1e-5:
            return False
    for row in overlaps:
        best = row.topk(2).values
        if best[0] - best[1] < 1e-5 and best[0] > 0.1:
            return False
    return True


def losses_of(model, batch):
    pixels, boxes, labels, masks, proposals = batch
    pyramid = model.neck(model.backbone(pixels))
    logits, codes = model.rpn_head(pyramid)
    maps = [(x.shape[2], x.shape[3], 4 << i) for i, x in enumerate(pyramid)]
    grid = anchors(maps, [0.5, 1, 2], [SCALE]).float().to(pixels)
    anchor_targets, positive_logits = [], []
    class_sum = box_sum = sampled = 0
    coder, region_coder = BoxCoder((1.0,) * 4), BoxCoder((10.0, 10.0, 5.0, 5.0))
    regions, images, truths, first = [], [], [], 0
    for b, (height, width) in enumerate(SIZES):
        padded = [-(-side // 32) * 32 for side in (height, width)]
        usable = torch.cat([((y < -(-padded[0] // s)) & (x < -(-padded[1] // s))).flatten().repeat_interleave(3)
                            for h, w, s in maps
                            for y, x in [torch.meshgrid(torch.arange(h), torch.arange(w), indexing="ij")]])
        overlaps = ops.box_iou(boxes[b], grid)
        assert far_from_thresholds(overlaps[:, usable], (0.3, 0.7)), "choose other boxes"
        matches = assign(overlaps, 0.7, 0.3, True, 0.3, usable)
        chosen, positive = matches != -2, matches >= 0
        class_sum = class_sum + F.binary_cross_entropy_with_logits(logits[b, chosen], positive[chosen].to(pixels),
                                                                   reduction="sum")
        sampled += int(chosen.sum())
        if positive.any():
            targets = coder.encode_single(boxes[b][matches[positive]], grid[positive])
            box_sum = box_sum + (codes[b, positive] - targets).abs().sum()

        overlaps = ops.box_iou(boxes[b], proposals[b])
        assert far_from_thresholds(overlaps, (0.5,)), "choose other proposals"
        own = torch.arange(len(boxes[b]))
        matches = torch.cat([own, assign(overlaps, 0.5, 0.5, True, 0.5)])
        print(f"image {b}: {int(positive.sum())} of {int(chosen.sum())} anchors, "
              f"{int((matches >= 0).sum())} of {len(matches)} regions match")
        regions.append(torch.cat([boxes[b], proposals[b]]))
        images.append(torch.full((len(matches),), b))
        truths.append(torch.where(matches >= 0, matches + first, -1))
        first += len(boxes[b])
    regions, images, truths = torch.cat(regions), torch.cat(images), torch.cat(truths)
    all_boxes, all_labels = torch.cat(boxes), torch.cat(labels)

    positive = truths >= 0
    wanted = torch.where(positive, all_labels[truths.clamp(min=0)], CLASSES)
    scores, deltas = model.roi_head.bbox_head(align(pyramid, regions, images, 7))
    box_class = F.cross_entropy(scores, wanted)
    of_class = deltas.reshape(-1, CLASSES, 4)[positive.nonzero().flatten(), wanted[positive]]
    targets = region_coder.encode_single(all_boxes[truths[positive]], regions[positive])
    box = (of_class - targets).abs().sum() / len(regions)

    rois = torch.cat([truths[positive][:, None].to(regions), regions[positive]], 1)
    cropped = ops.roi_align(masks[:, None].to(regions), rois, (28, 28), 1.0, 0, aligned=True)[:, 0]
    assert ((cropped - 0.5).abs() > 1e-5).all(), "a cell is half inside: choose other boxes"
    mask_logits = model.roi_head.mask_head(align(pyramid, regions[positive], images[positive], 14))
    of_class = mask_logits[torch.arange(len(mask_logits)), wanted[positive]]
    mask = F.binary_cross_entropy_with_logits(of_class, (cropped >= 0.5).to(regions))
    return [class_sum / sampled, box_sum / sampled, box_class, box, mask]


def draw_state(model, normal):
    state = {}
    for name, value in sorted(model.state_dict().items()):
        if name.endswith("num_batches_tracked"):
            state[name] = torch.tensor(3.0)
        elif name.endswith("running_var"):
            state[name] = normal(*value.shape).abs() + 0.5
        elif name.endswith("temperature"):
            state[name] = normal(*value.shape, mean=2.0, deviation=0.5)
        elif value.ndim == 1 and name.endswith("weight") or "gamma" in name:
            state[name] = normal(*value.shape, mean=0.75, deviation=0.25)
        elif value.ndim == 1:
            state[name] = normal(*value.shape, deviation=0.3)
        else:
            state[name] = normal(*value.shape, deviation=1.0 / math.sqrt(value[0].numel()))
    return state


def make_batch(normal, seed):
    stream = np.random.RandomState(seed)

    def near(box, spread):
        return [c + stream.uniform(-spread, spread) for c in box]

    def rounded(rows):
        return torch.tensor(rows).reshape(-1, 4).float().double()

    pixels = normal(len(SIZES), 3, HEIGHT, LENGTH)
    for b, (height, width) in enumerate(SIZES):
        pixels[b, :, height:] = 0
        pixels[b, :, :, width:] = 0
    objects = [[[7.3, 11.2, 40.6, 49.9], [50.4, 8.1, 88.7, 33.3]], [], [[3.2, 20.7, 29.1, 55.8]]]
    boxes = [rounded(rows) for rows in objects]
    labels = [torch.tensor([2, 0]), torch.zeros(0, dtype=torch.int64), torch.tensor([1])]
    proposals = []
    for b, (height, width) in enumerate(SIZES):
        rows = [near(box, spread) for box in objects[b] for spread in (2.0, 5.0, 9.0)]
        for _ in range(6):
            x, y = stream.uniform(0, width - 12), stream.uniform(0, height - 12)
            rows.append([x, y, x + stream.uniform(6, 60), y + stream.uniform(6, 60)])
        proposals.append(ops.clip_boxes_to_image(rounded(rows), (height, width)))
    masks = []
    y, x = torch.meshgrid(torch.arange(HEIGHT) + 0.5, torch.arange(LENGTH) + 0.5, indexing="ij")
    for x0, y0, x1, y1 in torch.cat(boxes):
        u, v = (x - (x0 + x1) / 2) / (x1 - x0), (y - (y0 + y1) / 2) / (y1 - y0)
        masks.append(u * u + 1.3 * v * v + 0.3 * u * v < 0.23)
    return pixels, boxes, labels, torch.stack(masks).to(torch.uint8), proposals


if __name__ == "__main__":
    store = golden.Store("mask_rcnn", __doc__)
    normal = golden.Normal(seed=3)
    state = draw_state(Detector(), normal)
    batch = make_batch(normal, seed=5)
    pixels, boxes, labels, masks, proposals = batch
    store.named("state", state)
    store.array("pixels", pixels)
    store.array("boxes", torch.cat(boxes))
    store.array("labels", torch.cat(labels))
    store.array("masks", masks.numpy())
    for b, rows in enumerate(proposals):
        store.array(f"proposals_{b}", rows)

    model = Detector()
    model.load_state_dict(state)
    losses = losses_of(model.train(), batch)
    sum(losses).backward()
    store.array("losses", torch.stack(losses))
    store.named("gradients", {name: p.grad for name, p in model.named_parameters()})
    print([f"{loss.item():.4f}" for loss in losses])
    store.close()
