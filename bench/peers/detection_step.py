"""One training step of torchvision's Mask R-CNN on timm's XCiT in PyTorch: losses of anchors and regions, backward, AdamW.

Cases: detection_step/<detector>/<images>/<height>/<width>/<regions of an image>, where the detector is tiny or a published
XCiT (small_12_p16, ...). An image has a quarter as many objects as regions. Variants: eager, channels_last, and with the
transformer and the pyramid through torch.compile. The maps of the transformer are taken as in XCiT's published detectors,
and fed to torchvision's pyramid, proposals and heads, with the sizes of the benchmark.
"""

from functools import partial

import peer  # before what it asks for
import timm
import torch
from timm.models.xcit import ConvPatchEmbed, PositionalEncodingFourier, XCABlock
from torch import nn
from torch.nn import functional as F
from torchvision.models.detection import anchor_utils, faster_rcnn, image_list, mask_rcnn, roi_heads, rpn
from torchvision.ops import FeaturePyramidNetwork, MultiScaleRoIAlign
from torchvision.ops.feature_pyramid_network import LastLevelMaxPool


class Maps(nn.Module):
    """Four maps of an XCiT, strides 4, 8, 16 and 32."""

    def __init__(self, width, depth, heads, patch, eta):
        super().__init__()
        self.patch_embed, self.positions = ConvPatchEmbed(patch_size=patch, embed_dim=width), PositionalEncodingFourier(dim=width)
        norm = partial(nn.LayerNorm, eps=1e-6)
        self.blocks = nn.ModuleList(XCABlock(width, heads, qkv_bias=True, drop_path=0.05, norm_layer=norm, eta=eta)
                                    for _ in range(depth))
        self.taps = [depth // 3 - 1, depth // 2 - 1, 2 * depth // 3 - 1, depth - 1]

        def enlarge():
            return nn.ConvTranspose2d(width, width, 2, 2)

        pool = nn.MaxPool2d(2, 2)
        if patch == 16:
            twice = nn.Sequential(enlarge(), nn.BatchNorm2d(width), nn.GELU(), enlarge())
            self.resize = nn.ModuleList([twice, enlarge(), nn.Identity(), pool])
        else:
            self.resize = nn.ModuleList([enlarge(), nn.Identity(), pool, nn.MaxPool2d(4, 4)])

    def forward(self, x):
        x, (height, width) = self.patch_embed(x)
        x = x + self.positions(len(x), height, width).flatten(2).transpose(1, 2)
        maps = []
        for i, block in enumerate(self.blocks):
            x = block(x, height, width)
            if i in self.taps:
                maps.append(x.transpose(1, 2).unflatten(2, (height, width)))
        return {str(i): resize(m) for i, (resize, m) in enumerate(zip(self.resize, maps))}


class Detector(nn.Module):
    def __init__(self, name, regions):
        super().__init__()
        small = name == "tiny"
        if small:
            sizes = dict(width=96, depth=6, heads=4, patch=8, eta=1.0)
        else:
            xcit = timm.create_model(f"xcit_{name}_224")
            block = xcit.blocks[0]
            sizes = dict(width=xcit.embed_dim, depth=len(xcit.blocks), heads=block.attn.num_heads,
                         patch=xcit.patch_embed.patch_size, eta=float(block.gamma1[0].detach()))
        pyramid, hidden, depth, scale, canonical = (64, 256, 2, 4, 56) if small else (256, 1024, 4, 8, 224)
        classes, proposals = 81, 300 if small else 1000
        self.maps = Maps(**sizes)
        self.pyramid = FeaturePyramidNetwork([sizes["width"]] * 4, pyramid, extra_blocks=LastLevelMaxPool())
        anchors = anchor_utils.AnchorGenerator(tuple((scale * stride,) for stride in (4, 8, 16, 32, 64)), ((0.5, 1.0, 2.0),) * 5)
        count = dict(training=2000 if not small else 600, testing=1000)
        self.proposals = rpn.RegionProposalNetwork(anchors, rpn.RPNHead(pyramid, 3), 0.7, 0.3, 256, 0.5, count,
                                                   dict(training=proposals, testing=proposals), 0.7)

        def align(size):
            return MultiScaleRoIAlign(["0", "1", "2", "3"], size, 0, canonical_scale=canonical)

        self.heads = roi_heads.RoIHeads(
            align(7), faster_rcnn.TwoMLPHead(pyramid * 49, hidden), faster_rcnn.FastRCNNPredictor(hidden, classes), 0.5, 0.5,
            regions, 0.25, None, 0.05, 0.5, 100, align(14), mask_rcnn.MaskRCNNHeads(pyramid, (pyramid,) * depth, 1),
            mask_rcnn.MaskRCNNPredictor(pyramid, pyramid, classes))

    def features(self, images):
        return self.pyramid(self.maps(images))

    def forward(self, features, images, targets):
        proposals, losses = self.proposals(images, features, targets)
        _, of_regions = self.heads(features, proposals, images.image_sizes, targets)
        return sum(losses.values()) + sum(of_regions.values())


def make_batch(batch, height, width, regions):
    """Images in the corner of a padded batch, and ellipses in boxes of a tenth to a half of the shorter side."""
    padded = [-(-side // 32) * 32 for side in (height, width)]
    y, x = torch.meshgrid(torch.arange(height) + 0.5, torch.arange(width) + 0.5, indexing="ij")
    targets = []
    for _ in range(batch):
        side = (0.1 + 0.4 * torch.rand(regions // 4, 2)) * min(height, width)
        corner = torch.rand(regions // 4, 2) * (torch.tensor([width, height]) - side)
        middle = (corner + side / 2)[:, :, None, None]
        down, right = (y - middle[:, 1]) / side[:, 1, None, None], (x - middle[:, 0]) / side[:, 0, None, None]
        masks = (down**2 + right**2 < 0.25).to(torch.uint8)
        targets.append({"boxes": torch.cat([corner, corner + side], 1), "labels": torch.randint(1, 81, (regions // 4,)),
                        "masks": F.pad(masks, (0, padded[1] - width, 0, padded[0] - height))})
    return image_list.ImageList(torch.randn(batch, 3, *padded), [(height, width)] * batch), targets


def variants(name):
    kind, detector, *sizes = name.split("/")
    if kind != "detection_step":
        return {}
    batch, height, width, regions = map(int, sizes)

    def way(order=torch.contiguous_format, prepare=lambda function: function):
        model = Detector(detector, regions).train().to(memory_format=order)
        images, targets = make_batch(batch, height, width, regions)
        images.tensors = images.tensors.contiguous(memory_format=order)
        optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4, weight_decay=0.05, fused=True)
        features = prepare(model.features)

        def step():
            optimizer.zero_grad()
            model(features(images.tensors), images, targets).backward()
            optimizer.step()

        return peer.by_clock(step)

    return {"eager": way, "channels_last": lambda: way(torch.channels_last),
            "compiled": lambda: way(prepare=lambda function: torch.compile(function, dynamic=False))}


peer.run(peer.parse(__doc__), variants, ["detection_step/tiny/8/128/160/64"])
