"""The evaluation that bench/pde_step.cpp times, in PyTorch: loss and gradient of a PINNsFormer on convection, 51 x 51
points and their edges.

Cases: pde_step/<softmax|poly3>[/column]. Variants: derivatives by autograd.grad of the summed outputs, as the published
code has them (by column); and by torch.func.jvp, forward differentiation along the residual's direction (1, 50), which
needs one derivative and gives the total one; each eager and through torch.compile, where that takes it. A case by column
has the former alone.
"""

import math
import pathlib
import sys

import peer  # first, because it says what to install
import torch

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "tests" / "golden"))
import make_pinnsformer as network  # noqa: E402

network.POINTS_X = network.POINTS_T = POINTS = 51


def forward_loss(model):
    """The same terms as network.loss_terms for convection, the derivative by forward differentiation."""
    axis_x = torch.linspace(0, 2 * math.pi, POINTS)
    axis_t = torch.linspace(0, 1, POINTS)
    t, x = torch.meshgrid(axis_t, axis_x, indexing="ij")
    grid = torch.stack((x.flatten(), t.flatten()), dim=-1)
    x, t = network.sequences(grid)
    _, residual = torch.func.jvp(model, (x, t), (torch.full_like(x, 50.0), torch.ones_like(t)))
    start = model(*network.sequences(torch.stack((axis_x, torch.zeros_like(axis_x)), dim=-1)))[:, 0, 0]
    lower = model(*network.sequences(torch.stack((torch.zeros_like(axis_t), axis_t), dim=-1)))
    upper = model(*network.sequences(torch.stack((torch.full_like(axis_t, 2 * math.pi), axis_t), dim=-1)))
    return (residual**2).mean() + ((upper - lower) ** 2).mean() + ((start - torch.sin(axis_x)) ** 2).mean()


def reverse_loss(model):
    return network.loss_terms(model, "convection")[0].sum()


def variants(name):
    kind, activation, *column = name.split("/")
    if kind != "pde_step":
        return {}

    def way(loss, prepare):
        model = network.PinnsFormer(width=32, heads=2, hidden=256, head_hidden=512, activation=activation)
        for parameter in model.parameters():
            if parameter.dim() > 1:
                torch.nn.init.xavier_uniform_(parameter)
        prepared = prepare(lambda: loss(model))

        def step():
            model.zero_grad()
            prepared().backward()

        return peer.by_clock(step)

    ways = {"reverse": lambda: way(reverse_loss, lambda f: f), "reverse, compiled": lambda: way(reverse_loss, torch.compile)}
    if not column:
        ways |= {"forward": lambda: way(forward_loss, lambda f: f),
                 "forward, compiled": lambda: way(forward_loss, torch.compile)}
    return ways


peer.run(peer.parse(__doc__), variants, ["pde_step/softmax", "pde_step/poly3"])
