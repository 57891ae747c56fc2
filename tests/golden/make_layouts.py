"""Names and shapes of the parameters of published vision transformers, as timm lays them out: one line a parameter;
and how many numbers the parameters of every named model have.

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

COUNTED = {
    "counts_swin": timm.list_models("swin_*", module="swin_transformer"),
    "counts_vit": [f"vit_{name}" for name in (
        "tiny_patch16_224", "tiny_patch16_384", "small_patch32_224", "small_patch32_384", "small_patch16_224",
        "small_patch16_384", "small_patch8_224", "base_patch32_224", "base_patch32_384", "base_patch16_224",
        "base_patch16_384", "base_patch8_224", "base_patch16_224_miil", "large_patch32_224", "large_patch32_384",
        "large_patch16_224", "large_patch16_384", "large_patch14_224", "huge_patch14_224", "giant_patch14_224",
        "gigantic_patch14_224", "base_patch32_plus_256", "base_patch16_plus_240", "small_patch16_36x1_224")] + timm.list_models("deit*"),
}
for topic, names in COUNTED.items():
    counts = {name: sum(p.numel() for p in timm.create_model(name, num_classes=1000, device="meta").parameters())
              for name in names}
    store.text(f"{topic}.txt", "".join(f"{name} {count}\n" for name, count in counts.items()))
store.close()
