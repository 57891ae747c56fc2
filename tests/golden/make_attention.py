"""Golden data of one attention call outside a network: outputs, all gradients, and the norms of the matrix of weights.

Unequal sizes everywhere, so that no two axes can be exchanged unnoticed. Two layouts of heads (each query head with its
own key/value head; two query heads sharing one), softmax and x^3, and every kind of mask as an explicit array of what a
query may see. A query that sees no key gets zero.
Run: python make_attention.py [--check]
"""

import math

import torch

import golden

BATCH, QUERIES, KEYS, QUERY_WIDTH, VALUE_WIDTH = 2, 5, 7, 6, 4
LAYOUTS = {"heads": (3, 3), "grouped": (4, 2)}  # (query heads, key/value heads)


def masks():
    """Name -> visible (BATCH, QUERIES, KEYS): 1 where the query may see the key."""
    i = torch.arange(QUERIES)[:, None]
    j = torch.arange(KEYS)[None, :]
    patterns = {
        "full": torch.ones(QUERIES, KEYS, dtype=torch.bool),
        "causal": j <= i,  # the first query sees the first key
        "causal_end": j <= i + KEYS - QUERIES,  # the last query sees the last key
        "window": (i - 2 <= j) & (j <= i + 1),  # two back, one ahead
    }
    result = {name: pattern.expand(BATCH, QUERIES, KEYS) for name, pattern in patterns.items()}
    keys = {
        "lengths": torch.tensor([4, 0])[:, None] > torch.arange(KEYS),  # the second sequence has no key at all
        "padding": torch.tensor([[1, 1, 0, 1, 0, 0, 1], [0, 1, 1, 1, 1, 1, 0]]) == 1,
    }
    return result | {name: seen[:, None, :].expand(BATCH, QUERIES, KEYS) for name, seen in keys.items()}


def softmax(scores, visible):
    """Normalised over the visible keys; a row without any is zero."""
    top = scores.masked_fill(~visible, -math.inf).amax(-1, keepdim=True)
    numerators = torch.where(visible, torch.exp(torch.where(visible, scores - top, 0.0)), 0.0)
    return numerators / numerators.sum(-1, keepdim=True).clamp_min(torch.finfo(scores.dtype).tiny)


def cube(scale=1.0):
    """scale * s^3; a scale of shape (heads) has one value per head."""
    def weights(scores, visible):
        c = scale.reshape(-1, 1, 1) if isinstance(scale, torch.Tensor) else scale
        return torch.where(visible, c * scores**3, 0.0)
    return weights


def attention(activation, q, k, v, visible):
    """q (B, H, N, D), k (B, G, M, D), v (B, G, M, E) -> out (B, H, N, E), weights (B, H, N, M), scores."""
    group = q.shape[1] // k.shape[1]  # query head h reads key/value head h // group
    k, v = k.repeat_interleave(group, dim=1), v.repeat_interleave(group, dim=1)
    scores = q @ k.transpose(-2, -1) / math.sqrt(q.shape[-1])
    weights = activation(scores, visible[:, None])
    return weights @ v, weights, scores


def jacobian_norm(activation, scores, visible):
    """(B, H): Frobenius norm of d weights / d scores over all rows, found column by column by differentiation."""
    scores = scores.detach().requires_grad_()
    weights = activation(scores, visible[:, None])
    squares = torch.zeros(scores.shape[:2])
    for key in range(KEYS):  # rows do not interact: summing one column of weights over the rows mixes nothing
        (column,) = torch.autograd.grad(weights[..., key].sum(), scores, retain_graph=True)
        squares += (column**2).sum((-2, -1))
    return squares.sqrt()


def save(store, case, activation, inputs, visible, scale=None):
    q, k, v, d_out = inputs
    leaves = [x.clone().requires_grad_() for x in (q, k, v)]
    out, weights, scores = attention(activation, *leaves, visible)
    gradients = torch.autograd.grad(out, leaves + ([] if scale is None else [scale]), d_out)
    store.array(f"{case}_out", out)
    for name, gradient in zip(("d_q", "d_k", "d_v", "d_scale"), gradients):
        store.array(f"{case}_{name}", gradient)
    store.array(f"{case}_frobenius", (weights**2).sum((-2, -1)).sqrt())
    store.array(f"{case}_jacobian", jacobian_norm(activation, scores, visible))


store = golden.Store("attention", __doc__)
for mask, visible in masks().items():
    store.array(f"visible_{mask}", visible.to(torch.int64))

for layout, (heads, kv_heads) in LAYOUTS.items():
    normal = golden.Normal(seed=heads)
    inputs = (normal(BATCH, heads, QUERIES, QUERY_WIDTH), normal(BATCH, kv_heads, KEYS, QUERY_WIDTH),
              normal(BATCH, kv_heads, KEYS, VALUE_WIDTH), normal(BATCH, heads, QUERIES, VALUE_WIDTH))
    for name, values in zip(("q", "k", "v", "d_out"), inputs):
        store.array(f"{layout}_{name}", values)
    for mask, visible in masks().items():
        if layout == "grouped" and mask not in ("full", "causal", "padding"):
            continue
        save(store, f"{layout}_{mask}_softmax", softmax, inputs, visible)
        save(store, f"{layout}_{mask}_poly3", cube(), inputs, visible)

    # Scales: the fixed one is 1 / sqrt(keys); the trained ones are given, one for all heads and one for each head.
    visible = masks()["full"]
    save(store, f"{layout}_full_poly3_fixed", cube(1.0 / math.sqrt(KEYS)), inputs, visible)
    for case, values in (("dynamic", [0.375]), ("per_head", [0.5, -0.25, 0.0, 1.5][:heads])):
        scale = torch.tensor(values, requires_grad=True)
        store.array(f"{layout}_{case}_scale", scale)
        save(store, f"{layout}_full_poly3_{case}", cube(scale), inputs, visible, scale)
store.close()
