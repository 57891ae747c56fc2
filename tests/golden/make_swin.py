"""Golden data of a small Swin: logits, and the gradients of every parameter and of the images; rates by layer; and tables
of relative positions, interpolated to other windows.

The network is timm's SwinTransformer, on images of prime sides and on even ones: windows that are not full, shifted ones,
maps smaller than their window, one window for all stages or one for each. For a polynomial, attention forms its weights
w = c s^3 explicitly, without normalising them; what timm hides by adding -100 has a weight of zero.
Run: python make_swin.py [--check]
"""

from functools import partial

from timm.layers import resize_rel_pos_bias_table
from timm.models.swin_transformer import SwinTransformer, WindowAttention
from timm.optim import param_groups_layer_decay

import golden
from vision import Cube, draw_state, write_case

BATCH, CHANNELS, CLASSES = 2, 3, 5
SIZES = {"prime": ((23, 29), 4), "even": ((16, 24), (2, 3, 2))}  # images, and windows


class CubeAttention(WindowAttention):
    """timm's attention (its parameters, names and layouts) with a cube in the place of softmax."""

    def forward(self, x, mask=None):
        windows, tokens, width = x.shape
        qkv = self.qkv(x).reshape(windows, tokens, 3, self.num_heads, -1)
        q, k, v = qkv.permute(2, 0, 3, 1, 4)
        weights = self.activation(q @ k.transpose(-2, -1) * self.scale + self._get_rel_pos_bias())
        if mask is not None:
            shown = (mask == 0).to(x.dtype).unsqueeze(1)  # (windows of an image, 1, tokens, tokens)
            weights = weights * shown.repeat(windows // len(mask), 1, 1, 1)
        return self.proj((weights @ v).transpose(1, 2).reshape(windows, tokens, width))


def build(size, cubes, training):
    image, windows = SIZES[size]
    model = SwinTransformer(img_size=image, patch_size=2, num_classes=CLASSES, embed_dim=8, depths=(2, 2, 1),
                            num_heads=(1, 2, 4), window_size=windows, mlp_ratio=2, drop_path_rate=0)
    for stage in model.layers if cubes else ():
        for block in stage.blocks:
            block.attn.__class__ = CubeAttention
            block.attn.activation = Cube()
    return model.train(training)


store = golden.Store("swin", __doc__)
normal = golden.Normal(seed=1)
d_logits = normal(1, BATCH, CLASSES)
store.array("d_logits", d_logits)
for size, (image, _) in SIZES.items():
    images = normal(BATCH, CHANNELS, *image)
    state = draw_state(build(size, True, True), normal)
    store.array(f"{size}_images", images)
    store.named(f"{size}_state", state)
    cases = {"softmax_training": (False, True), "cube_training": (True, True)}
    if size == "even":
        cases = {"cube_evaluation": (True, False)}
    for case, (cubes, training) in cases.items():
        write_case(store, f"{size}_{case}", partial(build, size, cubes, training), state, images, d_logits)

model = build("prime", False, True)
names = {id(parameter): name for name, parameter in model.named_parameters()}
store.text("layer_decay.txt", "".join(
    f"{names[id(parameter)]} {group['lr_scale']!r}\n"
    for group in param_groups_layer_decay(model, layer_decay=0.75) for parameter in group["params"]))

table = normal(7 * 7, 2)  # of a window of 4 x 4
store.array("table", table)
for height, width in ((7, 7), (3, 3), (2, 9)):
    shape = ((2 * height - 1) * (2 * width - 1), 2)
    store.array(f"table_{height}x{width}", resize_rel_pos_bias_table(table, (height, width), shape))
store.close()
