"""Golden data of modules of feature maps: convolutions, norms over batches and groups, pooling, resizing; odd settings.

Maps are stored channels last, weights as PyTorch has them.

Run: python make_maps.py [--check]
"""

import torch
from torch import nn
from torch.nn import functional as F
from torchvision.ops import FrozenBatchNorm2d

import golden


def last(maps):
    """(B, C, H, W) -> (B, H, W, C)"""
    return maps.movedim(1, -1)


def save(store, case, module, x, normal):
    """One module on one batch: its parameters, y, and all gradients of the sum of d_y y."""
    parameters = dict(module.named_parameters())
    with torch.no_grad():
        for parameter in parameters.values():
            parameter.copy_(normal(*parameter.shape, deviation=0.5) + (parameter.mean() > 0.9))
    x = x.clone().requires_grad_()
    y = module(x)
    d_y = normal(*y.shape)
    gradients = torch.autograd.grad(y, [x, *parameters.values()], d_y)
    for name, values in (("x", x), ("y", y), ("d_y", d_y), ("d_x", gradients[0])):
        store.array(f"{case}_{name}", last(values) if values.dim() > 2 else values)
    for (name, values), gradient in zip(parameters.items(), gradients[1:]):
        store.array(f"{case}_{name}", values)
        store.array(f"{case}_d_{name}", gradient)


class Resize(nn.Module):
    def __init__(self, size, mode, antialias=False):
        super().__init__()
        self.arguments = {"size": size, "mode": mode} | ({"antialias": True} if antialias else {})

    def forward(self, x):
        return F.interpolate(x, **self.arguments)


def save_modules(store):
    normal = golden.Normal(seed=40)
    modules = {
        "convolution_grouped": (nn.Conv2d(6, 8, (3, 2), (2, 1), (1, 2), (1, 3), groups=2), (2, 6, 7, 5)),
        "convolution_depthwise": (nn.Conv2d(5, 5, (2, 3), (1, 2), (2, 1), groups=5, bias=False), (2, 5, 4, 7)),
        "transposed_grouped": (nn.ConvTranspose2d(4, 6, (3, 2), (2, 3), (1, 0), (1, 2), groups=2, dilation=(1, 2)),
                               (2, 4, 3, 4)),
        "transposed_plain": (nn.ConvTranspose2d(3, 5, 2, 2, bias=False), (1, 3, 4, 3)),
        "max_pooling": (nn.MaxPool2d((3, 2), (2, 1), (1, 0), (1, 2)), (2, 3, 7, 6)),
        "average_pooling": (nn.AvgPool2d((3, 2), (2, 1), (1, 1)), (2, 3, 7, 5)),
        "average_pooling_inside": (nn.AvgPool2d(3, 2, 1, count_include_pad=False), (2, 3, 6, 5)),
        "group_norm": (nn.GroupNorm(3, 12), (2, 12, 3, 4)),
        "resize_nearest": (Resize((7, 3), "nearest"), (1, 2, 4, 5)),
        "resize_bilinear": (Resize((9, 4), "bilinear"), (2, 3, 4, 6)),
        "resize_bicubic": (Resize((7, 5), "bicubic"), (1, 3, 4, 9)),
        "resize_bilinear_smooth": (Resize((3, 9), "bilinear", True), (1, 2, 11, 4)),
        "resize_bicubic_smooth": (Resize((4, 5), "bicubic", True), (1, 2, 14, 13)),
    }
    for case, (module, shape) in modules.items():
        save(store, case, module, normal(*shape), normal)


def save_batch_norm(store):
    """Two steps of training, then evaluation with the statistics that they left; and frozen statistics."""
    normal = golden.Normal(seed=41)
    norm = nn.BatchNorm2d(5)
    for case in ("batch_norm_first", "batch_norm_second", "batch_norm_evaluation"):
        norm.train(case != "batch_norm_evaluation")
        save(store, case, norm, normal(3, 5, 2, 4, mean=1.5, deviation=2.0), normal)
        store.array(f"{case}_running_mean", norm.running_mean)
        store.array(f"{case}_running_var", norm.running_var)
    frozen = FrozenBatchNorm2d(4)
    x = normal(2, 4, 3, 2).requires_grad_()
    for name in ("weight", "bias", "running_mean"):
        getattr(frozen, name).copy_(normal(4))
    frozen.running_var.copy_(normal(4).abs() + 0.25)
    y = frozen(x)
    d_y = normal(*y.shape)
    (d_x,) = torch.autograd.grad(y, x, d_y)
    for name, values in (("x", x), ("y", y), ("d_y", d_y), ("d_x", d_x)):
        store.array(f"frozen_batch_norm_{name}", last(values))
    for name in ("weight", "bias", "running_mean", "running_var"):
        store.array(f"frozen_batch_norm_{name}", getattr(frozen, name))


store = golden.Store("maps", __doc__)
save_modules(store)
save_batch_norm(store)
store.close()
