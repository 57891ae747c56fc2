"""One training step of a model of timm in PyTorch: forward, cross-entropy, backward, AdamW. Images per second."""

import statistics

import peer  # first, because it says what to install
import timm
import torch
from timm.optim import param_groups_weight_decay
from torch import nn


def flags(parser):
    parser.add_argument("--model", default="deit_small_patch16_224", help="timm's name")
    parser.add_argument("--batch", type=int, default=8, help="images a step")
    parser.add_argument("--compile", action="store_true", help="the model through torch.compile (needs a C++ compiler)")


a = peer.parse(__doc__, flags)
model = timm.create_model(a.model).train()
optimizer = torch.optim.AdamW(param_groups_weight_decay(model, 0.05, no_weight_decay_list=model.no_weight_decay()),
                              lr=1e-3, fused=True)
step_model = torch.compile(model) if a.compile else model
images = torch.randn(a.batch, *model.default_cfg["input_size"])
labels = torch.randint(1000, (a.batch,))


def step():
    loss = nn.functional.cross_entropy(step_model(images), labels)
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()


seconds = peer.measure(step, a.min_time)
peer.report(f"vision_step/{a.model}/{a.batch}", seconds, 0, variant="compiled" if a.compile else "eager",
            images_per_second=a.batch / statistics.median(seconds),
            parameters=sum(p.numel() for p in model.parameters()))
