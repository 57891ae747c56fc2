"""Golden data of GELU, LayerNorm and the losses, at ordinary values and at those where a careless formula fails.

Run: python make_nn.py [--check]
"""

import math

import torch
from timm.loss import LabelSmoothingCrossEntropy, SoftTargetCrossEntropy
from torch.nn import functional as F

import golden


def save_gelu(store):
    """x Phi(x) and its slope. Written with erfc, because 1 + erf(x) has no correct digit left below about -8."""
    normal = golden.Normal(seed=10)
    edges = [0.0, -0.0, 1e-30, 1e-6, 0.25, 0.7517916, 1.0, 1.4142135, 3.0, 5.0, 5.5, 8.0, 12.0, 100.0, 1e4, 1e30]
    x = torch.cat([torch.tensor(edges), -torch.tensor(edges), normal(61, deviation=2.0)])
    x = x.float().double().requires_grad_()
    y = 0.5 * x * torch.erfc(-x / math.sqrt(2.0))
    (slope,) = torch.autograd.grad(y.sum(), x)
    store.array("gelu_x", x)
    store.array("gelu_y", y)
    store.array("gelu_slope", slope)
    torch.testing.assert_close(y, F.gelu(x), rtol=1e-13, atol=1e-15)  # the same function


def save_layer_norm(store):
    normal = golden.Normal(seed=11)
    constant = normal(4, 1).expand(4, 24)
    cases = {
        "plain": (normal(6, 24), 1e-6),
        "prime": (normal(5, 13), 1e-5),
        "long": (normal(3, 197, deviation=0.1), 1e-6),
        "one_channel": (normal(4, 1), 1e-6),  # always the bias, whatever x
        "constant": (constant, 1e-6),  # variance zero: epsilon alone keeps it finite
        "faint": (normal(4, 24, deviation=1e-3), 1e-6),  # variance as small as epsilon
        "offset": (normal(4, 24, mean=100.0), 1e-6),  # mean of squares minus square of mean loses four digits
    }
    for case, (x, epsilon) in cases.items():
        channels = x.shape[1]
        weight, bias, d_y = normal(channels, mean=1.0, deviation=0.5), normal(channels), normal(*x.shape)
        leaves = [t.clone().requires_grad_() for t in (x, weight, bias)]
        y = F.layer_norm(leaves[0], (channels,), leaves[1], leaves[2], eps=epsilon)
        gradients = torch.autograd.grad(y, leaves, d_y)
        names = ("x", "weight", "bias", "d_y", "y", "d_x", "d_weight", "d_bias")
        for name, values in zip(names, (x, weight, bias, d_y, y, *gradients)):
            store.array(f"layer_norm_{case}_{name}", values)
        store.array(f"layer_norm_{case}_epsilon", epsilon)


def save_losses(store):
    """Cross-entropy with hard labels, with smoothed ones, and with given probabilities: loss and d_logits."""
    normal = golden.Normal(seed=12)
    logits = normal(6, 7, deviation=2.0)
    logits[3] = torch.tensor([200.0, -200.0, 0.0, 199.0, 1.0, 2.0, 3.0])  # exp overflows, unless shifted
    logits[4] = 0.5  # all equal: log 7
    labels = torch.tensor([2, 0, 6, 1, 4, 3])  # row 3 is wrong by 400
    probabilities = torch.softmax(normal(6, 7), -1).float().double()
    probabilities[5] = torch.tensor([0.25, 0.0, 0.75, 0.0, 0.0, 0.0, 0.0])  # a zero target: 0 log p = 0
    store.array("loss_logits", logits)
    store.array("loss_labels", labels)
    store.array("loss_targets", probabilities)
    losses = {
        "hard": lambda x: F.cross_entropy(x, labels),
        "smooth": lambda x: LabelSmoothingCrossEntropy(smoothing=0.1)(x, labels),
        "soft": lambda x: SoftTargetCrossEntropy()(x, probabilities),
    }
    for case, loss in losses.items():
        x = logits.clone().requires_grad_()
        value = loss(x)
        (d_logits,) = torch.autograd.grad(value, x)
        store.array(f"loss_{case}_loss", value)
        store.array(f"loss_{case}_d_logits", d_logits)


store = golden.Store("nn", __doc__)
save_gelu(store)
save_layer_norm(store)
save_losses(store)
store.close()
