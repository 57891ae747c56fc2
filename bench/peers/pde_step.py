"""The evaluations that bench/pde_step.cpp times, in PyTorch: loss and gradient of a PINNsFormer on convection or on
waves, 51 x 51 points and their edges, and on a flow at 204 measured points.

Cases: pde_step/<softmax|poly3>[/column|/wave|/flow]. Variants: derivatives by autograd.grad of the summed outputs, as
the published code has them (by column); and by torch.func.jvp, forward differentiation, which gives the total ones: for
convection along the residual's direction (1, 50), for waves twice along x and twice along t, for the flow up to three
times along x and y; each eager and through torch.compile, where that takes it. A case by column has the former alone.
"""

import math
import pathlib
import sys

import peer  # first, because it says what to install
import torch

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "tests" / "golden"))
import make_pinnsformer as network  # noqa: E402

network.POINTS_X = network.POINTS_T = POINTS = 51


def points(length):
    """The grid over [0, length] x [0, 1], its start and its edges, as pseudo-sequences."""
    axis_x = torch.linspace(0, length, POINTS)
    axis_t = torch.linspace(0, 1, POINTS)
    t, x = torch.meshgrid(axis_t, axis_x, indexing="ij")
    grid = torch.stack((x.flatten(), t.flatten()), dim=-1)
    start = torch.stack((axis_x, torch.zeros_like(axis_x)), dim=-1)
    lower = torch.stack((torch.zeros_like(axis_t), axis_t), dim=-1)
    upper = torch.stack((torch.full_like(axis_t, length), axis_t), dim=-1)
    return axis_x, *(network.sequences(of) for of in (grid, start, lower, upper))


def along(function, x, t, direction):
    """The derivative of function(x, t) along a direction, forward."""
    tangents = tuple(torch.full_like(of, part) for of, part in zip((x, t), direction))
    return torch.func.jvp(function, (x, t), tangents)[1]


def forward_loss(model):
    """The same terms as network.loss_terms for convection, the derivative by forward differentiation."""
    axis_x, grid, start, lower, upper = points(2 * math.pi)
    residual = along(model, *grid, (50.0, 1.0))
    edges = ((model(*upper) - model(*lower)) ** 2).mean()
    return (residual**2).mean() + edges + ((model(*start)[:, 0, 0] - torch.sin(axis_x)) ** 2).mean()


def reverse_loss(model):
    return network.loss_terms(model, "convection")[0].sum()


def wave_loss(model, second, slope):
    """u_tt = 4 u_xx between fixed ends, from rest; second(x, t) is (u_xx, u_tt), slope(x, t) is u_t."""
    axis_x, grid, start, lower, upper = points(1)
    u_xx, u_tt = second(*grid)
    edges = (model(*upper) ** 2).mean() + (model(*lower) ** 2).mean()
    shape = torch.sin(math.pi * axis_x) + 0.5 * torch.sin(3 * math.pi * axis_x)
    begin = ((model(*start)[:, 0, 0] - shape) ** 2).mean() + (slope(*start) ** 2).mean()
    return ((u_tt - 4 * u_xx) ** 2).mean() + edges + begin


def forward_wave_loss(model):
    def twice(direction, x, t):
        return along(lambda x, t: along(model, x, t, direction), x, t, direction)

    return wave_loss(model, lambda x, t: (twice((1.0, 0.0), x, t), twice((0.0, 1.0), x, t)),
                     lambda x, t: along(model, x, t, (0.0, 1.0)))


def reverse_wave_loss(model):
    def slopes(x, t):
        inputs = tuple(y.detach().requires_grad_(True) for y in (x, t))
        u = model(*inputs)
        return inputs, torch.autograd.grad(u, inputs, torch.ones_like(u), create_graph=True)

    def second(x, t):
        inputs, firsts = slopes(x, t)
        return [torch.autograd.grad(of, y, torch.ones_like(of), create_graph=True)[0] for of, y in zip(firsts, inputs)]

    return wave_loss(model, second, lambda x, t: slopes(x, t)[1][1])


def flow_loss(model, derivatives):
    """Navier-Stokes' equations with a viscosity of 0.01 at 204 points of Taylor's vortices, and the velocities there at
    the first step. The network's outputs are the stream function and the pressure of (x, y, t); derivatives(f, x, y, t)
    returns f's outputs' by x, y, xx, xy, yy, xt, yt, xxx, xxy, xyy and yyy."""
    (x, y), t = 2 * math.pi * torch.rand(2, 204, 1, 1), torch.rand(204, 1, 1)
    times = t + network.STEP * torch.arange(network.STEPS).view(1, -1, 1)
    at = [torch.zeros_like(times) + of for of in (x, y)] + [times]
    by_x, by_y, *others = derivatives(lambda x, y, t: model(torch.cat((x, y), dim=-1), t), *at)
    xx, xy, yy, xt, yt, xxx, xxy, xyy, yyy = (of[..., 0] for of in others)
    u, v, p_x, p_y = by_y[..., 0], -by_x[..., 0], by_x[..., 1], by_y[..., 1]
    f_u = yt + u * xy + v * yy + p_x - 0.01 * (xxy + yyy)
    f_v = -xt - u * xx - v * xy + p_y + 0.01 * (xxx + xyy)
    decay = torch.exp(-0.02 * t[:, 0, 0])
    measured = (-torch.cos(x) * torch.sin(y))[:, 0, 0] * decay, (torch.sin(x) * torch.cos(y))[:, 0, 0] * decay
    velocity = ((u[:, 0] - measured[0]) ** 2).mean() + ((v[:, 0] - measured[1]) ** 2).mean()
    return (f_u**2).mean() + (f_v**2).mean() + velocity


def forward_flow_loss(model):
    def by(function, which):
        def derivative(*at):
            tangents = tuple(torch.ones_like(of) if i == which else torch.zeros_like(of) for i, of in enumerate(at))
            return torch.func.jvp(function, at, tangents)

        return derivative

    def slope(function, which):
        return lambda *at: by(function, which)(*at)[1]

    def derivatives(f, *at):
        # by() gives the function with its derivative.
        by_x, xt = by(slope(f, 0), 2)(*at)
        by_y, yt = by(slope(f, 1), 2)(*at)
        xy = slope(slope(f, 0), 1)(*at)
        xx, xxx = by(slope(slope(f, 0), 0), 0)(*at)
        yy, yyy = by(slope(slope(f, 1), 1), 1)(*at)
        xxy, xyy = slope(slope(slope(f, 0), 0), 1)(*at), slope(slope(slope(f, 1), 1), 0)(*at)
        return by_x, by_y, xx, xy, yy, xt, yt, xxx, xxy, xyy, yyy

    return flow_loss(model, derivatives)


def reverse_flow_loss(model):
    def derivatives(f, *at):
        x, y, t = (of.requires_grad_(True) for of in at)

        def slopes(of, *by):
            return torch.autograd.grad(of, by, torch.ones_like(of), create_graph=True)

        psi, p = f(x, y, t).split(1, dim=-1)
        (psi_x, psi_y), (p_x, p_y) = slopes(psi, x, y), slopes(p, x, y)
        (xx, xy, xt), (yy, yt) = slopes(psi_x, x, y, t), slopes(psi_y, y, t)
        (xxx, xxy), (xyy, yyy) = slopes(xx, x, y), slopes(yy, x, y)
        return torch.cat((psi_x, p_x), -1), torch.cat((psi_y, p_y), -1), xx, xy, yy, xt, yt, xxx, xxy, xyy, yyy

    return flow_loss(model, derivatives)


LOSSES = {"wave": (forward_wave_loss, reverse_wave_loss), "flow": (forward_flow_loss, reverse_flow_loss)}


def variants(name):
    kind, activation, *special = name.split("/")
    if kind != "pde_step":
        return {}
    forward, reverse = LOSSES.get("".join(special), (forward_loss, reverse_loss))

    def way(loss, prepare):
        model = network.PinnsFormer(width=32, heads=2, hidden=256, head_hidden=512, activation=activation)
        if special == ["flow"]:
            model.linear_emb = torch.nn.Linear(3, 32)
            model.linear_out = network.FeedForward(32, 512, 2).linear
        for parameter in model.parameters():
            if parameter.dim() > 1:
                torch.nn.init.xavier_uniform_(parameter)
        prepared = prepare(lambda: loss(model))

        def step():
            model.zero_grad()
            prepared().backward()

        return peer.by_clock(step)

    ways = {"reverse": lambda: way(reverse, lambda f: f), "reverse, compiled": lambda: way(reverse, torch.compile)}
    if special != ["column"]:
        ways |= {"forward": lambda: way(forward, lambda f: f),
                 "forward, compiled": lambda: way(forward, torch.compile)}
    return ways


CASES = ["pde_step/softmax", "pde_step/poly3", "pde_step/softmax/wave", "pde_step/softmax/flow"]
peer.run(peer.parse(__doc__), variants, CASES)
