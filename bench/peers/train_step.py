"""One training step of a vision transformer in PyTorch: forward, cross-entropy, backward, AdamW. Images per second.

timm's VisionTransformer; softmax by the fused scaled_dot_product_attention, a polynomial by matrices. Without flags
ViT-Ti/16 at 224 pixels. Operations are counted as three forward passes, linear layers and attention, nothing else.
"""

import math
import statistics

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


def flags(parser):
    sizes = [("image", 224, "height and width"), ("patch", 16, "side of a patch"), ("channels", 3, "of the images"),
             ("width", 192, "of the embedding"), ("depth", 12, "blocks"), ("heads", 3, "of attention"),
             ("classes", 1000, "of labels"), ("batch", 32, "images a step")]
    for name, default, meaning in sizes:
        parser.add_argument(f"--{name}", type=int, default=default, help=meaning)
    parser.add_argument("--activation", choices=["softmax", "poly"], action="append", help="without it both")
    parser.add_argument("--power", type=int, default=3, help="of the polynomial")
    parser.add_argument("--scale", choices=["none", "fixed", "dynamic"], default="none", help="of the polynomial")
    parser.add_argument("--device", default="cpu", help="of PyTorch")
    parser.add_argument("--autocast", action="store_true", help="products in bf16 by torch.autocast")
    parser.add_argument("--compile", action="store_true", help="the model through torch.compile (needs a C++ compiler)")


def multiply_adds(model, a):
    """Of one image, forward: every linear layer on every token, the head on one, and the two products of attention."""
    patches = (a.image // a.patch) ** 2
    tokens = patches + 1
    linear = patches * model.patch_embed.proj.weight.numel() + a.classes * a.width
    linear += a.depth * tokens * 12 * a.width**2
    return linear + a.depth * 2 * tokens**2 * a.width


a = peer.parse(__doc__, flags)
torch.set_default_device(a.device)
for activation in a.activation or ["softmax", "poly"]:
    attention = Attention if activation == "softmax" else attention_with(a.power, a.scale)
    model = VisionTransformer(img_size=a.image, patch_size=a.patch, in_chans=a.channels, num_classes=a.classes,
                              embed_dim=a.width, depth=a.depth, num_heads=a.heads, attn_layer=attention).train()
    optimizer = torch.optim.AdamW(param_groups_weight_decay(model, 0.05, no_weight_decay_list=model.no_weight_decay()),
                                  lr=1e-3, fused=True)
    step_model = torch.compile(model) if a.compile else model
    images = torch.randn(a.batch, a.channels, a.image, a.image)
    labels = torch.randint(a.classes, (a.batch,))

    def step():
        with torch.autocast(a.device, dtype=torch.bfloat16, enabled=a.autocast):
            loss = nn.functional.cross_entropy(step_model(images), labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        peer.wait()

    seconds = peer.measure(step, a.min_time)
    case = "softmax" if activation == "softmax" else f"poly{a.power}" + ("" if a.scale == "none" else f"_{a.scale}")
    name = f"train_step/{case}/{a.image}/{a.patch}/{a.channels}/{a.width}/{a.depth}/{a.heads}/{a.batch}"
    peer.report(name + ("/bf16" if a.autocast else ""), seconds, 6 * a.batch * multiply_adds(model, a),
                variant="compiled" if a.compile else "eager",
                images_per_second=a.batch / statistics.median(seconds),
                parameters=sum(p.numel() for p in model.parameters()))
