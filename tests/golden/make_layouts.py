"""Names and shapes of the parameters of published vision transformers, as timm lays them out: one line a parameter.

Run: python make_layouts.py [--check]
"""

import timm

import golden

MODELS = {
    "vit_base_patch16_224": {},
    "vit_tiny_patch16_224": {},
    # ViT-Tiny on 64 x 64 images of 200 classes, with 256, 64, 16 and 8 patches.
    "vit_tiny_patch4_64": {"patch_size": 4},
    "vit_tiny_patch8_64": {"patch_size": 8},
    "vit_tiny_patch16_64": {"patch_size": 16},
    "vit_tiny_patch16x32_64": {"patch_size": (16, 32)},
}

store = golden.Store("layouts", __doc__)
for name, changes in MODELS.items():
    if changes:
        model = timm.create_model("vit_tiny_patch16_224", img_size=64, num_classes=200, **changes)
    else:
        model = timm.create_model(name)
    lines = [f"{key}\t{','.join(map(str, values.shape))}\n" for key, values in model.state_dict().items()]
    store.text(f"{name}.txt", "".join(lines))
    print(f"{name:24}{sum(p.numel() for p in model.parameters()):12,} parameters")
store.close()
