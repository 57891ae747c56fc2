"""Golden data of training: AdamW under timm's rule of what decays, clipping, averaged weights, learning rates,
and factors of the learning rate by layer.

Run: python make_optim.py [--check]
"""

import timm
import torch
from timm.optim import create_optimizer_v2, param_groups_layer_decay
from timm.scheduler import CosineLRScheduler
from timm.utils import ModelEmaV2, ModelEmaV3, dispatch_clip_grad
from torch import nn

import golden

STEPS, WEIGHT_DECAY, EMA_DECAY = 5, 0.05, 0.75
SHAPES = {  # one of each kind that the rule tells apart
    "cls_token": (1, 1, 6),
    "pos_embed": (1, 4, 6),
    "patch_embed.proj.weight": (6, 2, 2, 2),
    "patch_embed.proj.bias": (6,),
    "blocks.0.norm1.weight": (6,),
    "blocks.0.norm1.bias": (6,),
    "blocks.0.attn.qkv.weight": (18, 6),
    "blocks.0.attn.qkv.bias": (18,),
    "blocks.0.attn.activation.scale": (1,),
    "head.weight": (3, 6),
    "head.bias": (3,),
}


class Named(nn.Module):
    """A module that only has parameters, with the names given: nested modules where a name has dots."""

    def __init__(self, parameters):
        super().__init__()
        for name, values in parameters.items():
            *path, last = name.split(".")
            module = self
            for part in path:
                if not hasattr(module, part):
                    module.add_module(part, nn.Module())
                module = getattr(module, part)
            module.register_parameter(last, nn.Parameter(values.clone()))

    def no_weight_decay(self):
        return {"pos_embed", "cls_token"}  # as timm's VisionTransformer answers


def draw_gradients(normal, step):
    gradients = {name: normal(*shape, deviation=0.1) for name, shape in SHAPES.items()}
    gradients["head.weight"][0] = 0.0  # never a gradient: only decay moves this row
    gradients["head.weight"][1] *= 1e4
    gradients["head.weight"][2] *= 1e-7  # as small as epsilon, which is added after the root
    if step == 3:
        gradients["blocks.0.attn.qkv.weight"].zero_()  # the moments go on
    return {name: values.float().double() for name, values in gradients.items()}


def named(model):
    return {name: parameter.detach().clone() for name, parameter in model.named_parameters()}


def save_adamw(store, weights, gradients):
    """The weights after each step, at a learning rate that changes. Returns them."""
    model = Named(weights)
    optimizer = create_optimizer_v2(model, opt="adamw", lr=1e-3, weight_decay=WEIGHT_DECAY,
                                    betas=(0.9, 0.999), eps=1e-8)
    learning_rates = [0.001, 0.01, 0.03125, 0.03125, 0.002]
    store.array("adamw_learning_rates", learning_rates)
    decay = {id(p): group["weight_decay"] for group in optimizer.param_groups for p in group["params"]}
    store.text("adamw_decay.txt", "".join(f"{name}\t{decay[id(p)]}\n" for name, p in model.named_parameters()))
    trajectory = []
    for step, rate in enumerate(learning_rates, start=1):
        for group in optimizer.param_groups:
            group["lr"] = rate
        for name, parameter in model.named_parameters():
            parameter.grad = gradients[step - 1][name].clone()
        optimizer.step()
        trajectory.append(named(model))
        store.named(f"adamw_weights_{step}", trajectory[-1])
    return trajectory


def save_clipped(store, weights, gradients):
    """g min(1, limit / (norm + 1e-6)) of `factor` times the gradients of step 1; the norm is over all parameters."""
    for case, factor, limit in (("hard", 1.0, 0.5), ("idle", 1.0, 1e6), ("faint", 2.0**-20, 2.0**-10)):
        model = Named(weights)
        for name, parameter in model.named_parameters():
            parameter.grad = factor * gradients[name]
        norm = torch.cat([p.grad.flatten() for p in model.parameters()]).norm()
        dispatch_clip_grad(model.parameters(), value=limit, mode="norm")
        store.array(f"clip_{case}_factor", factor)
        store.array(f"clip_{case}_limit", limit)
        store.array(f"clip_{case}_norm", norm)
        store.named(f"clip_{case}_gradients", {name: p.grad for name, p in model.named_parameters()})


def save_averaged(store, weights, trajectory):
    """Averages after each step. `plain` averages from the first one; `step` is told the number of the step, and the
    first one copies; `warmup` lets the decay grow: 1 - (1 + step)^(-2/3), at most the decay given."""
    averages = {
        "plain": (ModelEmaV2(Named(weights), decay=EMA_DECAY), False),
        "step": (ModelEmaV3(Named(weights), decay=EMA_DECAY), True),
        "warmup": (ModelEmaV3(Named(weights), decay=EMA_DECAY, use_warmup=True), True),
    }
    for case, (average, counts) in averages.items():
        for step, values in enumerate(trajectory, start=1):
            average.update(Named(values), **({"step": step} if counts else {}))
            store.named(f"ema_{case}_weights_{step}", named(average.module))
    slow = ModelEmaV3(Named(weights), decay=0.9999, use_warmup=True)
    store.array("ema_warmup_decays", [slow.get_decay(step) for step in range(1, 65)])


def scheduler(base, **options):
    optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=base)
    return CosineLRScheduler(optimizer, **options), lambda: optimizer.param_groups[0]["lr"]


def save_schedules(store):
    """Learning rates by time, and the rates that a training loop really used: the loops differ, not the formula."""
    recipe = dict(t_initial=300, warmup_t=5, warmup_lr_init=1e-6, lr_min=1e-5)
    schedule, _ = scheduler(1e-3, **recipe)
    store.array("cosine_epochs_values", [schedule._get_lr(t)[0] for t in range(306)])
    for case, ahead in (("deit", 0), ("timm", 1)):  # step(epoch) at the end of an epoch, or step(epoch + 1)
        schedule, rate = scheduler(1e-3, **recipe)
        used = []
        for epoch in range(300):
            used.append(rate())
            schedule.step(epoch + ahead)
        store.array(f"cosine_epochs_{case}_used", used)

    cases = {
        "steps": dict(t_initial=120, warmup_t=20, warmup_lr_init=1e-6, lr_min=1e-5),
        "steps_prefix": dict(t_initial=100, warmup_t=20, warmup_lr_init=1e-6, lr_min=1e-5, warmup_prefix=True),
        "steps_no_warmup": dict(t_initial=120),
    }
    for case, options in cases.items():
        schedule, rate = scheduler(2e-3, t_in_epochs=False, **options)
        used = []
        for update in range(125):  # five more than were planned
            used.append(rate())
            schedule.step_update(update + 1)
        store.array(f"cosine_{case}_used", used)

    # Swin: 300 epochs of three steps, step_update(step) when the step is over.
    schedule, rate = scheduler(1e-3, t_in_epochs=False, t_initial=280 * 3, warmup_t=20 * 3, warmup_lr_init=1e-6,
                               lr_min=1e-5, warmup_prefix=True)
    used = []
    for step in range(900):
        used.append(rate())
        schedule.step_update(step)
    store.array("cosine_swin_used", used)


def save_layer_decay(store):
    """The factor of the learning rate of each parameter of a small vision transformer, a name and a number a line."""
    model = timm.create_model("vit_tiny_patch16_224", depth=3, embed_dim=12, num_classes=5)
    groups = param_groups_layer_decay(model, layer_decay=0.75)
    factor = {id(p): group["lr_scale"] for group in groups for p in group["params"]}
    store.text("layer_decay.txt", "".join(f"{name}\t{factor[id(p)]}\n" for name, p in model.named_parameters()))


store = golden.Store("optim", __doc__)
normal = golden.Normal(seed=30)
weights = {name: normal(*shape) for name, shape in SHAPES.items()}
gradients = [draw_gradients(normal, step) for step in range(1, STEPS + 1)]
store.named("weights", weights)
for step, values in enumerate(gradients, start=1):
    store.named(f"gradients_{step}", values)
trajectory = save_adamw(store, weights, gradients)
save_clipped(store, weights, gradients[0])
save_averaged(store, weights, trajectory)
save_schedules(store)
save_layer_decay(store)
store.close()
