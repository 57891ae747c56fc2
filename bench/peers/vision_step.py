"""One training step of a model of timm in PyTorch: forward, cross-entropy, backward, AdamW.

Cases: vision_step/<timm's name>/<images a step>. Variants: eager, and the model through torch.compile.
"""

import peer  # first, because it says what to install
import timm
import torch
from timm.optim import param_groups_weight_decay


def variants(name):
    kind, model_name, batch = name.split("/")
    if kind != "vision_step":
        return {}

    def way(prepare):
        model = timm.create_model(model_name).train()
        groups = param_groups_weight_decay(model, 0.05, no_weight_decay_list=model.no_weight_decay())
        optimizer = torch.optim.AdamW(groups, lr=1e-3, fused=True)
        images = torch.randn(int(batch), *model.default_cfg["input_size"])
        labels = torch.randint(1000, (int(batch),))
        return peer.training_step(prepare(model), optimizer, images, labels)

    return {"eager": lambda: way(lambda model: model), "compiled": lambda: way(torch.compile)}


peer.run(peer.parse(__doc__), variants, ["vision_step/deit_small_patch16_224/8"])
