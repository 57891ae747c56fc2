"""Golden data of a small cross-covariance image transformer: logits, moved statistics, and the gradients of every
parameter and of the images, in training and in evaluation, for images of two sizes.

The network is timm's Xcit. For softmax it is used as it is; for a polynomial the two kinds of attention form their
weights w = c s^3 explicitly, without normalising them.
Run: python make_xcit.py [--check]
"""

import math

import torch
from timm.models.cait import ClassAttn
from timm.models.xcit import XCA, Xcit
from torch import nn

import golden
import vision
from vision import Cube

BATCH, CHANNELS, PATCH, CLASSES = 2, 3, 8, 5
EMBEDDING, DEPTH, HEADS, MLP_RATIO = 16, 2, 2, 2
SIZES = {"even": (32, 24), "odd": (33, 17)}  # maps of 4 x 3 and of 5 x 3 tokens


class CubeXCA(XCA):
    """timm's cross-covariance attention (its parameters, names and layouts) with a cube in the place of softmax."""

    def forward(self, x):
        batch, tokens, width = x.shape
        qkv = self.qkv(x).reshape(batch, tokens, 3, self.num_heads, width // self.num_heads)
        q, k, v = qkv.permute(2, 0, 3, 4, 1)  # each (batch, heads, head width, tokens)
        q, k = (nn.functional.normalize(t, dim=-1) for t in (q, k))
        weights = self.activation(q @ k.transpose(-2, -1) * self.temperature)
        return self.proj((weights @ v).permute(0, 3, 1, 2).reshape(batch, tokens, width))


class CubeClassAttention(ClassAttn):
    def forward(self, x):
        batch, tokens, width = x.shape

        def heads(t):
            return t.reshape(batch, -1, self.num_heads, width // self.num_heads).transpose(1, 2)

        q, k, v = heads(self.q(x[:, :1])), heads(self.k(x)), heads(self.v(x))
        weights = self.activation(q @ k.transpose(-2, -1) * self.scale)
        return self.proj((weights @ v).transpose(1, 2).reshape(batch, 1, width))


def build(tokens_norm, cubes, class_cubes):
    model = Xcit(img_size=32, patch_size=PATCH, in_chans=CHANNELS, num_classes=CLASSES, embed_dim=EMBEDDING,
                 depth=DEPTH, num_heads=HEADS, mlp_ratio=MLP_RATIO, eta=1.0, tokens_norm=tokens_norm)
    for blocks, kind, wanted in ((model.blocks, CubeXCA, cubes), (model.cls_attn_blocks, CubeClassAttention,
                                                                  class_cubes)):
        for block in blocks if wanted else ():
            block.attn.__class__ = kind
            block.attn.activation = Cube()
    return model


def draw_state(model, normal):
    """Every parameter matters: no bias or token is zero, no norm's weight is one, scores are of order one."""
    state = {}
    for name, value in sorted(model.state_dict().items()):
        if name.endswith("num_batches_tracked"):
            state[name] = torch.tensor(3.0)
        elif name.endswith("running_var"):
            state[name] = normal(*value.shape).abs() + 0.5
        elif name.endswith("temperature"):
            state[name] = normal(*value.shape, mean=2.0, deviation=0.5)
        elif name.endswith("activation.scale"):
            state[name] = normal(*value.shape, mean=0.5, deviation=0.25)
        elif ("norm" in name or ".bn." in name or ".1.weight" in name or "gamma" in name) and "bias" not in name:
            state[name] = normal(*value.shape, mean=0.75, deviation=0.25)
        elif value.ndim == 1 or name == "cls_token":
            state[name] = normal(*value.shape, deviation=0.3)
        else:  # (out, in...): keeps the variance
            state[name] = normal(*value.shape, deviation=1.0 / math.sqrt(value[0].numel()))
    return state


def run(model, images, d_logits, dtype):
    """Logits, the gradients of all parameters and of the images, and what became of the buffers."""
    (logits,), d_images, gradients = vision.run(model, images, [d_logits], dtype)
    return logits, d_images, gradients, {name: buffer.to(dtype) for name, buffer in model.named_buffers()}


def worst_relative_error(approximate, exact):
    return ((approximate - exact).abs().max() / exact.abs().max()).item()


store = golden.Store("xcit", __doc__)
normal = golden.Normal(seed=1)
state = draw_state(build(True, True, True), normal)
d_logits = normal(BATCH, CLASSES)
store.named("state", state)
store.array("d_logits", d_logits)
images = {size: normal(BATCH, CHANNELS, *SIZES[size]) for size in SIZES}
for size, values in images.items():
    store.array(f"{size}_images", values)

# Between them, the cases have each of two sizes, two modes, two activations in either kind of attention, and both ways
# to normalise tokens.
cases = {
    "softmax_training": ("even", True, dict(tokens_norm=True, cubes=False, class_cubes=False)),
    "softmax_evaluation": ("odd", False, dict(tokens_norm=False, cubes=False, class_cubes=False)),
    "cube_training": ("odd", True, dict(tokens_norm=False, cubes=True, class_cubes=True)),
    "cube_evaluation": ("even", False, dict(tokens_norm=True, cubes=True, class_cubes=False)),
}
for case, (size, training, options) in cases.items():
    results = []
    for dtype in (torch.float64, torch.float32):
        model = build(**options)
        model.load_state_dict({name: state[name] for name in model.state_dict()})
        results.append(run(model.train(training), images[size], d_logits, dtype))
    (logits, d_images, gradients, buffers), (logits_32, d_images_32, gradients_32, _) = results
    store.array(f"{case}_logits", logits)
    store.array(f"{case}_d_images", d_images)
    store.named(f"{case}_gradients", gradients)
    if training:
        store.named(f"{case}_buffers", buffers)

    # What float32 costs: a test that asks for less than this error asks for luck.
    worst = max((worst_relative_error(gradients_32[name], gradients[name]), name) for name in gradients)
    print(f"{case:18} |logits| <= {logits.abs().max().item():6.2f}  float32 errs by "
          f"{worst_relative_error(logits_32, logits):.1e} (logits), {worst[0]:.1e} ({worst[1]}), "
          f"{worst_relative_error(d_images_32, d_images):.1e} (images)")
store.close()
