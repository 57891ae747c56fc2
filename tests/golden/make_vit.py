"""Golden data of a small vision transformer: logits, loss, and the gradients of every parameter and of the images.

The network is timm's VisionTransformer. For softmax it is used as it is; for the polynomials its attention layer is
replaced by one that forms the matrix of weights explicitly, w = c s^p with s = q k^T / sqrt(d), without normalising it.
Run: python make_vit.py [--check]
"""

import math

import torch
from timm.layers import Attention
from timm.models.vision_transformer import VisionTransformer
from torch import nn

import golden

BATCH, CHANNELS, HEIGHT, WIDTH, PATCH, CLASSES = 3, 3, 16, 12, 4, 7
EMBEDDING, DEPTH, HEADS, MLP_RATIO = 24, 2, 3, 4
TOKENS = (HEIGHT // PATCH) * (WIDTH // PATCH) + 1  # and the class token: 13


class Polynomial(nn.Module):
    """c s^p. The scale c is 1 ("none"), 1 / sqrt(tokens) ("fixed"), or a parameter of shape (1) ("dynamic")."""

    def __init__(self, power, scale):
        super().__init__()
        self.power = power
        self.scale = {
            "none": 1.0,
            "fixed": 1.0 / math.sqrt(TOKENS),
            "dynamic": nn.Parameter(torch.zeros(1)) if scale == "dynamic" else None,
        }[scale]

    def forward(self, scores):
        return self.scale * scores**self.power


def attention_with(power, scale):
    """timm's attention layer (its parameters, names and layouts) with a polynomial in the place of softmax."""

    class PolynomialAttention(Attention):
        def __init__(self, *arguments, **keywords):
            super().__init__(*arguments, **keywords)
            self.activation = Polynomial(power, scale)

        def forward(self, x, attn_mask=None, is_causal=False):
            batch, tokens, width = x.shape
            qkv = self.qkv(x).reshape(batch, tokens, 3, self.num_heads, self.head_dim)
            q, k, v = qkv.permute(2, 0, 3, 1, 4)  # each (batch, heads, tokens, head width)
            scores = q @ k.transpose(-2, -1) / math.sqrt(self.head_dim)
            weights = self.activation(scores)
            return self.proj((weights @ v).transpose(1, 2).reshape(batch, tokens, width))

    return PolynomialAttention


def build(attention):
    return VisionTransformer(img_size=(HEIGHT, WIDTH), patch_size=PATCH, in_chans=CHANNELS, num_classes=CLASSES,
                             embed_dim=EMBEDDING, depth=DEPTH, num_heads=HEADS, mlp_ratio=MLP_RATIO, qkv_bias=True,
                             norm_layer=lambda width, **keywords: nn.LayerNorm(width, eps=1e-6, **keywords),
                             attn_layer=attention).eval()


def draw_weights(model):
    """Every parameter matters: no bias, shift or token is zero, no LayerNorm weight is one, scores are of order one."""
    normal = golden.Normal(seed=1)
    weights = {}
    for name, parameter in sorted(model.named_parameters()):
        if name.endswith("activation.scale"):
            continue
        if "norm" in name and name.endswith("weight"):
            weights[name] = normal(*parameter.shape, mean=1.0, deviation=0.25)
        elif parameter.ndim == 1 or name in ("cls_token", "pos_embed"):
            weights[name] = normal(*parameter.shape, deviation=0.3)
        else:  # (out, in...): keeps the variance
            weights[name] = normal(*parameter.shape, deviation=1.0 / math.sqrt(parameter[0].numel()))
    return weights


def run(model, images, labels, dtype):
    """Logits, loss and all gradients, computed by autograd in `dtype`."""
    model = model.to(dtype)
    images = images.to(dtype).requires_grad_()
    logits = model(images)
    loss = nn.functional.cross_entropy(logits, labels)
    names, parameters = zip(*model.named_parameters())
    d_images, *d_parameters = torch.autograd.grad(loss, [images, *parameters])
    return logits, loss, d_images, dict(zip(names, d_parameters))


def worst_relative_error(approximate, exact):
    return ((approximate - exact).abs().max() / exact.abs().max()).item()


store = golden.Store("vit", __doc__)
normal = golden.Normal(seed=2)
images = normal(BATCH, CHANNELS, HEIGHT, WIDTH)
labels = torch.tensor([5, 0, 6])
weights = draw_weights(build(Attention))
store.array("images", images)
store.array("labels", labels)
store.named("weights", weights)

cases = {"softmax": Attention}
cases |= {f"poly{power}": attention_with(power, "none") for power in range(1, 7)}
cases |= {f"poly3_{scale}": attention_with(3, scale) for scale in ("fixed", "dynamic")}
for case, attention in cases.items():
    model = build(attention)
    scales = {}
    if case == "poly3_dynamic":
        scales = {"blocks.0.attn.activation.scale": torch.tensor([0.375]),
                  "blocks.1.attn.activation.scale": torch.tensor([-0.21875])}
        store.named(f"{case}_weights", weights | scales)
    model.load_state_dict(weights | scales)
    logits, loss, d_images, gradients = run(model, images, labels, torch.float64)
    store.array(f"{case}_logits", logits)
    store.array(f"{case}_loss", loss)
    store.array(f"{case}_d_images", d_images)
    store.named(f"{case}_gradients", gradients)

    # What float32 costs: a test that asks for less than this error asks for luck.
    logits_32, _, d_images_32, gradients_32 = run(model, images, labels, torch.float32)
    worst = max(worst_relative_error(gradients_32[name], gradients[name]) for name in gradients)
    print(f"{case:14} loss {loss.item():8.5f}  |logits| <= {logits.abs().max().item():6.2f}  float32 errs by "
          f"{worst_relative_error(logits_32, logits):.1e} (logits), {worst:.1e} (worst gradient), "
          f"{worst_relative_error(d_images_32, d_images):.1e} (images)")
store.close()
