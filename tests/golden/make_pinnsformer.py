"""Golden data of a PINNsFormer: the loss of convection and of reaction and all parameter gradients, with derivatives as
reverse differentiation of the summed outputs gives them ("column"), and the outputs.

The network is written here from its published description. Run: python make_pinnsformer.py [--check]
"""

import math

import torch
from torch import nn
from torch.nn import functional

import golden

STEPS, STEP = 5, 1e-4
POINTS_X, POINTS_T = 7, 5


class Wave(nn.Module):
    def __init__(self):
        super().__init__()
        self.w1 = nn.Parameter(torch.ones(1))
        self.w2 = nn.Parameter(torch.ones(1))

    def forward(self, x):
        return self.w1 * torch.sin(x) + self.w2 * torch.cos(x)


class Attention(nn.Module):
    """Multi-head attention with one packed projection; `activation` maps scores (…, queries, keys) to weights."""

    def __init__(self, width, heads, activation):
        super().__init__()
        self.in_proj_weight = nn.Parameter(torch.empty(3 * width, width))
        self.in_proj_bias = nn.Parameter(torch.zeros(3 * width))
        self.out_proj = nn.Linear(width, width)
        if activation == "poly3_dynamic":
            self.activation = nn.Module()
            self.activation.scale = nn.Parameter(torch.ones(1))
        self.heads, self.kind = heads, activation

    def weights(self, scores):
        if self.kind == "softmax":
            return torch.softmax(scores, dim=-1)
        if self.kind == "poly3_dynamic":
            return self.activation.scale * scores**3
        return scores**3

    def forward(self, x, memory):
        batch, n, width = x.shape
        head = width // self.heads

        def split(y):
            return y.view(batch, -1, self.heads, head).transpose(1, 2)

        parts = zip(self.in_proj_weight.chunk(3), self.in_proj_bias.chunk(3), (x, memory, memory))
        q, k, v = (split(functional.linear(y, w, b)) for w, b, y in parts)
        a = self.weights(q @ k.transpose(-1, -2) / math.sqrt(head))
        return self.out_proj((a @ v).transpose(1, 2).reshape(batch, n, width))


class FeedForward(nn.Module):
    def __init__(self, width, hidden, outputs):
        super().__init__()
        self.linear = nn.Sequential(
            nn.Linear(width, hidden), Wave(), nn.Linear(hidden, hidden), Wave(), nn.Linear(hidden, outputs)
        )

    def forward(self, x):
        return self.linear(x)


class Layer(nn.Module):
    def __init__(self, width, heads, hidden, activation):
        super().__init__()
        self.attn = Attention(width, heads, activation)
        self.ff = FeedForward(width, hidden, width)
        self.act1, self.act2 = Wave(), Wave()

    def forward(self, x, memory=None):
        x1 = self.act1(x)
        x = x + self.attn(x1, x1 if memory is None else memory)
        return x + self.ff(self.act2(x))


class Stack(nn.Module):
    def __init__(self, width, heads, hidden, activation):
        super().__init__()
        self.layers = nn.ModuleList([Layer(width, heads, hidden, activation)])
        self.act = Wave()

    def forward(self, x, memory=None):
        for layer in self.layers:
            x = layer(x, memory)
        return self.act(x)


class PinnsFormer(nn.Module):
    def __init__(self, width, heads, hidden, head_hidden, activation):
        super().__init__()
        self.linear_emb = nn.Linear(2, width)
        self.encoder = Stack(width, heads, hidden, activation)
        self.decoder = Stack(width, heads, hidden, activation)
        self.linear_out = FeedForward(width, head_hidden, 1).linear

    def forward(self, x, t):
        e = self.linear_emb(torch.cat((x, t), dim=-1))
        return self.linear_out(self.decoder(e, self.encoder(e)))


def sequences(points):
    """(points, 2) -> x and t of shape (points, steps, 1)."""
    x = points[:, None, :1].repeat(1, STEPS, 1)
    t = points[:, None, 1:].repeat(1, STEPS, 1) + STEP * torch.arange(STEPS).view(1, STEPS, 1)
    return x, t


def loss_terms(model, problem):
    axis_x = torch.linspace(0, 2 * math.pi, POINTS_X)
    axis_t = torch.linspace(0, 1, POINTS_T)
    t, x = torch.meshgrid(axis_t, axis_x, indexing="ij")
    grid = torch.stack((x.flatten(), t.flatten()), dim=-1)
    initial = torch.stack((axis_x, torch.zeros_like(axis_x)), dim=-1)
    lower = torch.stack((torch.zeros_like(axis_t), axis_t), dim=-1)
    upper = torch.stack((torch.full_like(axis_t, 2 * math.pi), axis_t), dim=-1)

    x, t = (y.requires_grad_(True) for y in sequences(grid))
    u = model(x, t)
    ones = torch.ones_like(u)
    u_x, u_t = torch.autograd.grad(u, (x, t), ones, create_graph=True)
    u_0 = model(*sequences(initial))[:, 0, 0]
    edges = ((model(*sequences(upper)) - model(*sequences(lower))) ** 2).mean()
    if problem == "convection":
        residual, start = u_t + 50 * u_x, torch.sin(axis_x)
    else:
        residual, start = u_t - 5 * u * (1 - u), torch.exp(-((axis_x - math.pi) ** 2) / (2 * (math.pi / 4) ** 2))
    return torch.stack(((residual**2).mean(), edges, ((u_0 - start) ** 2).mean())), u


def main():
    store = golden.Store("pinnsformer", __doc__)
    shape = dict(width=32, heads=2, hidden=24, head_hidden=40)  # the reference's width, other parts smaller
    normal = golden.Normal(5)
    template = PinnsFormer(activation="poly3_dynamic", **shape)
    weights = {}
    for name, p in template.named_parameters():
        fan_in = p.shape[-1] if p.dim() > 1 else 25.0
        mean = 1.0 if name.split(".")[-1] in ("w1", "w2") else 0.0
        weights[name] = normal(*p.shape, mean=mean, deviation=0.6 / math.sqrt(fan_in))
        if name.endswith("scale"):
            weights[name] = normal(*p.shape, mean=0.45, deviation=0.1)
    plain = {name: w for name, w in weights.items() if not name.endswith("scale")}
    store.named("weights", plain)
    store.named("poly3_dynamic_weights", weights)
    for activation in ("softmax", "poly3", "poly3_dynamic"):
        model = PinnsFormer(activation=activation, **shape)
        model.load_state_dict(weights if activation == "poly3_dynamic" else plain)
        for problem in ("convection", "reaction"):
            model.zero_grad()
            terms, u = loss_terms(model, problem)
            terms.sum().backward()
            case = f"{activation}_{problem}"
            store.array(f"{case}_terms", terms.detach())
            store.named(f"{case}_gradients", {name: p.grad for name, p in model.named_parameters()})
            if problem == "convection":
                store.array(f"{activation}_u", u.detach())
            print(case, terms.tolist())
    store.close()


if __name__ == "__main__":
    main()
