"""What the generators of vision models share: a polynomial in the place of softmax, drawn weights, and cases."""

import math

import torch
from torch import nn


class Cube(nn.Module):
    """c s^3 with a trained c."""

    def __init__(self):
        super().__init__()
        self.scale = nn.Parameter(torch.zeros(1))

    def forward(self, scores):
        return self.scale * scores**3


def draw_state(model, normal):
    """Every parameter matters: no bias, token or factor is zero, no norm's weight is one, scores are of order one."""
    state = {}
    for name, value in sorted(model.named_parameters()):
        if name.endswith("activation.scale"):
            state[name] = normal(*value.shape, mean=0.5, deviation=0.25)
        elif ("norm" in name and name.endswith("weight")) or name.endswith("gamma"):
            state[name] = normal(*value.shape, mean=0.75, deviation=0.25)
        elif value.ndim == 1 or "token" in name or "pos_embed" in name or "bias_table" in name:
            state[name] = normal(*value.shape, deviation=0.3)
        else:  # (out, in...): keeps the variance
            state[name] = normal(*value.shape, deviation=1.0 / math.sqrt(value[0].numel()))
    return state


def run(model, images, d_outputs, dtype):
    """All outputs (one, or a tuple), and the gradients of all parameters and of the images."""
    model = model.to(dtype)
    images = images.to(dtype).requires_grad_()
    outputs = model(images)
    outputs = outputs if isinstance(outputs, tuple) else (outputs,)
    names, parameters = zip(*model.named_parameters())
    d_outputs = [d.to(dtype) for d in d_outputs[:len(outputs)]]
    d_images, *d_parameters = torch.autograd.grad(outputs, [images, *parameters], d_outputs)
    return outputs, d_images, dict(zip(names, d_parameters))


def worst_relative_error(approximate, exact):
    return ((approximate - exact).abs().max() / exact.abs().max()).item()


def write_case(store, case, build, state, images, d_outputs):
    """Files CASE_logits (outputs one after the other), CASE_d_images and CASE_gradients, of the model that build() makes."""
    results = []
    for dtype in (torch.float64, torch.float32):
        model = build()
        model.load_state_dict({name: state[name] for name, _ in model.named_parameters()})
        results.append(run(model, images, d_outputs, dtype))
    (outputs, d_images, gradients), (outputs_32, d_images_32, gradients_32) = results
    store.array(f"{case}_logits", torch.stack(outputs))
    store.array(f"{case}_d_images", d_images)
    store.named(f"{case}_gradients", gradients)

    # What float32 costs: a test that asks for less than this error asks for luck.
    worst = max((worst_relative_error(gradients_32[name], gradients[name]), name) for name in gradients)
    print(f"{case:28} |logits| <= {outputs[0].abs().max().item():6.2f}  float32 errs by "
          f"{worst_relative_error(outputs_32[0], outputs[0]):.1e} (logits), {worst[0]:.1e} ({worst[1]}), "
          f"{worst_relative_error(d_images_32, d_images):.1e} (images)")
