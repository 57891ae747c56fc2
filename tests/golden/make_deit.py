"""Golden data of small DeiTs: logits, and the gradients of every parameter and of the images.

The networks are timm's: a distilled one, which gives the logits of both heads in training and their mean in evaluation;
and one as in DeiT III, with a factor for each channel of a branch and a class token without position. For a polynomial,
attention forms its weights w = c s^3 explicitly, without normalising them.
Run: python make_deit.py [--check]
"""

from functools import partial

from timm.layers import Attention
from timm.models.deit import VisionTransformerDistilled
from timm.models.vision_transformer import VisionTransformer
from torch import nn

import golden
from vision import Cube, draw_state, write_case

BATCH, CHANNELS, HEIGHT, WIDTH, CLASSES = 2, 3, 16, 12, 5
SIZES = dict(img_size=(HEIGHT, WIDTH), patch_size=4, num_classes=CLASSES, embed_dim=16, depth=2, num_heads=2,
             mlp_ratio=2, norm_layer=partial(nn.LayerNorm, eps=1e-6))


class CubeAttention(Attention):
    """timm's attention (its parameters, names and layouts) with a cube in the place of softmax."""

    def forward(self, x, attn_mask=None, is_causal=False):
        batch, tokens, width = x.shape
        qkv = self.qkv(x).reshape(batch, tokens, 3, self.num_heads, self.head_dim)
        q, k, v = qkv.permute(2, 0, 3, 1, 4)
        weights = self.activation(q @ k.transpose(-2, -1) * self.scale)
        return self.proj((weights @ v).transpose(1, 2).reshape(batch, tokens, width))


def build(distilled, cubes, training):
    if distilled:
        model = VisionTransformerDistilled(**SIZES)
        model.set_distilled_training(True)
    else:
        model = VisionTransformer(no_embed_class=True, init_values=1e-6, **SIZES)
    for block in model.blocks if cubes else ():
        block.attn.__class__ = CubeAttention
        block.attn.activation = Cube()
    return model.train(training)


store = golden.Store("deit", __doc__)
normal = golden.Normal(seed=1)
images = normal(BATCH, CHANNELS, HEIGHT, WIDTH)
d_logits = normal(2, BATCH, CLASSES)
store.array("images", images)
store.array("d_logits", d_logits)
for kind, distilled in (("distilled", True), ("deit3", False)):
    state = draw_state(build(distilled, True, True), normal)
    store.named(f"{kind}_state", state)
    cases = {"softmax_training": (False, True), "cube_evaluation": (True, False)}
    if distilled:
        cases["cube_training"] = (True, True)
    for case, (cubes, training) in cases.items():
        write_case(store, f"{kind}_{case}", partial(build, distilled, cubes, training), state, images, d_logits)
store.close()
