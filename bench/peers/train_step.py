"""One training step of a vision transformer in PyTorch: forward, cross-entropy, backward, AdamW.

timm's VisionTransformer; softmax by the fused scaled_dot_product_attention, a polynomial by matrices.
Cases: train_step/<softmax|polyP[_fixed|_dynamic]>/<image>/<patch>/<channels>/<width>/<depth>/<heads>/<classes>/<batch>, with
/bf16 at the end for products in bf16 by torch.autocast. Variants: eager, and the model through torch.compile.
"""

import math

import peer  # first, because it says what to install
import torch
from timm.layers import Attention
from timm.models.vision_transformer import VisionTransformer
from timm.optim import param_groups_weight_decay
from torch import nn


def attention_with(power, scale):
    """timm's attention layer with c s^power in the place of softmax."""

    class PolynomialAttention(Attention):
        def __init__(self, *arguments, **keywords):
            super().__init__(*arguments, **keywords)
            self.activation_scale = nn.Parameter(torch.ones(1)) if scale == "dynamic" else None

        def forward(self, x, attn_mask=None, is_causal=False):
            batch, tokens, width = x.shape
            q, k, v = self.qkv(x).reshape(batch, tokens, 3, self.num_heads, self.head_dim).permute(2, 0, 3, 1, 4)
            weights = (q @ k.transpose(-2, -1) * self.scale) ** power
            if scale == "fixed":
                weights = weights / math.sqrt(tokens)
            elif scale == "dynamic":
                weights = weights * self.activation_scale
            return self.proj((weights @ v).transpose(1, 2).reshape(batch, tokens, width))

    return PolynomialAttention


def variants(name):
    kind, activation, *sizes = name.split("/")
    if kind != "train_step":
        return {}
    narrow = sizes[-1] == "bf16"
    image, patch, channels, width, depth, heads, classes, batch = map(int, sizes[:8])
    power, _, scale = activation.removeprefix("poly").partition("_")
    layer = Attention if activation == "softmax" else attention_with(int(power), scale)

    def way(prepare):
        model = VisionTransformer(img_size=image, patch_size=patch, in_chans=channels, num_classes=classes,
                                  embed_dim=width, depth=depth, num_heads=heads, attn_layer=layer).train()
        groups = param_groups_weight_decay(model, 0.05, no_weight_decay_list=model.no_weight_decay())
        optimizer = torch.optim.AdamW(groups, lr=1e-3, fused=True)
        images = torch.randn(batch, channels, image, image)
        labels = torch.randint(classes, (batch,))
        return peer.training_step(prepare(model), optimizer, images, labels, narrow)

    return {"eager": lambda: way(lambda model: model), "compiled": lambda: peer.surely_compiled(lambda: way(torch.compile))}


peer.run(peer.parse(__doc__), variants, [f"train_step/{activation}/224/16/3/192/12/3/1000/32" for activation in ("softmax", "poly3")])
