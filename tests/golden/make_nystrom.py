"""Golden data of the sequence classifier with Nyström attention, on padded batches with masks, as the paper writes it.

Logits and the gradients of all parameters, for activations of the three factors, both starts of the pseudo-inverse,
pairs of sequences, as many landmarks as positions, and full attention. The masked positions are real here; attn leaves
them out.

Run: python make_nystrom.py [--check]
"""

import numpy as np
import torch
from torch.nn import functional as F

import golden

BATCH, LENGTH, LANDMARKS, TAPS = 4, 15, 5, 5
WIDTH, HEADS, HIDDEN, DEPTH = 8, 2, 12, 2
VOCABULARY, CLASSES = 11, 3


def shapes(case):
    """Name -> shape of every parameter, in the published naming."""
    result = {"model.embeddings.word_embeddings.weight": (VOCABULARY, WIDTH),
              "model.embeddings.position_embeddings.weight": (LENGTH, WIDTH)}
    for layer in range(DEPTH):
        prefix = f"model.transformer_{layer}."
        for norm in ("norm1", "norm2"):
            result[prefix + norm + ".weight"] = (WIDTH,)
            result[prefix + norm + ".bias"] = (WIDTH,)
        for name in ("W_q", "W_k", "W_v", "ff"):
            result[prefix + f"mha.{name}.weight"] = (WIDTH, WIDTH)
            result[prefix + f"mha.{name}.bias"] = (WIDTH,)
        if case["landmarks"]:
            result[prefix + "mha.attn.conv.weight"] = (HEADS, 1, TAPS, 1)
        if case["scale"] == "dynamic":
            result[prefix + "mha.attn.activation.scale"] = (1,)
        result[prefix + "mlpblock.0.weight"] = (HIDDEN, WIDTH)
        result[prefix + "mlpblock.0.bias"] = (HIDDEN,)
        result[prefix + "mlpblock.3.weight"] = (WIDTH, HIDDEN)
        result[prefix + "mlpblock.3.bias"] = (WIDTH,)
    result["model.norm.weight"] = result["model.norm.bias"] = (WIDTH,)
    result["seq_classifer.mlpblock.0.weight"] = (HIDDEN, (4 if case["pairs"] else 1) * WIDTH)
    result["seq_classifer.mlpblock.0.bias"] = (HIDDEN,)
    result["seq_classifer.mlpblock.2.weight"] = (CLASSES, HIDDEN)
    result["seq_classifer.mlpblock.2.bias"] = (CLASSES,)
    return result


def weights_of(case, scores, visible, scale):
    """What the activation makes of scores; `visible` (B, 1, 1, keys) or None says which keys count."""
    if case["power"] == 0:
        if visible is not None:
            scores = scores.masked_fill(visible == 0, -torch.inf)
        return torch.nan_to_num(scores.softmax(-1))  # a row without keys is zero
    keys = scores.shape[-1]
    c = {"none": 1.0, "fixed": keys**-0.5, "dynamic": scale}[case["scale"]]
    result = c * scores ** case["power"]
    return result if visible is None else result * visible


def pseudo_inverse(case, k, iterations=6):
    if case["start"] == "column_sum":
        z = k.transpose(-1, -2) / k.sum(-2).max()
    else:
        columns, rows = k.abs().sum(-2).amax(-1), k.abs().sum(-1).amax(-1)
        z = k.transpose(-1, -2) / (columns * rows)[..., None, None]
    unit = torch.eye(k.shape[-1])
    for _ in range(iterations):
        x = k @ z
        z = 0.25 * z @ (13 * unit - x @ (15 * unit - x @ (7 * unit - x)))
    return z


def attend(case, p, prefix, q, k, v, mask):
    """q, k, v (B, H, N, D); mask (B, N)."""
    scale = p.get(prefix + "mha.attn.activation.scale")
    visible = mask[:, None, None, :]
    q, k = q * mask[:, None, :, None], k * mask[:, None, :, None]
    root = q.shape[-1] ** -0.25
    q, k = q * root, k * root
    if case["landmarks"] in (0, LENGTH):
        y = weights_of(case, q @ k.transpose(-1, -2), visible, scale) @ v
    else:
        q_l = q.unflatten(2, (case["landmarks"], -1)).mean(3)
        k_l = k.unflatten(2, (case["landmarks"], -1)).mean(3)
        first = weights_of(case, q @ k_l.transpose(-1, -2), None, scale)
        second = weights_of(case, q_l @ k_l.transpose(-1, -2), None, scale)
        third = weights_of(case, q_l @ k.transpose(-1, -2), visible, scale)
        y = first @ pseudo_inverse(case, second) @ third @ v
    if case["landmarks"]:
        y = y + F.conv2d(v * mask[:, None, :, None], p[prefix + "mha.attn.conv.weight"], padding=(TAPS // 2, 0),
                         groups=HEADS)
    return y


def encode(case, p, ids):
    mask = (ids != 0).double()

    def linear(name, x):
        return F.linear(x, p[name + ".weight"], p[name + ".bias"])

    def norm(name, x):
        return F.layer_norm(x, (WIDTH,), p[name + ".weight"], p[name + ".bias"], eps=1e-5)

    def heads(x):
        return x.unflatten(-1, (HEADS, -1)).transpose(1, 2)

    x = p["model.embeddings.word_embeddings.weight"][ids] + p["model.embeddings.position_embeddings.weight"]
    for layer in range(DEPTH):
        prefix = f"model.transformer_{layer}."
        n = norm(prefix + "norm1", x)
        q, k, v = (heads(linear(prefix + f"mha.W_{which}", n)) for which in "qkv")
        y = attend(case, p, prefix, q, k, v, mask).transpose(1, 2).flatten(2)
        x = x + linear(prefix + "mha.ff", y)
        x = x + linear(prefix + "mlpblock.3", F.gelu(linear(prefix + "mlpblock.0", norm(prefix + "norm2", x))))
    return (norm("model.norm", x) * mask[..., None]).mean(1)


def logits_of(case, p, ids):
    pooled = encode(case, p, ids)
    if case["pairs"]:
        a, b = pooled.chunk(2)
        pooled = torch.cat([a, b, a * b, a - b], -1)
    hidden = F.relu(F.linear(pooled, p["seq_classifer.mlpblock.0.weight"], p["seq_classifer.mlpblock.0.bias"]))
    return F.linear(hidden, p["seq_classifer.mlpblock.2.weight"], p["seq_classifer.mlpblock.2.bias"])


def tokens():
    """Padded behind, full, with holes, and one token only."""
    ids = torch.from_numpy(np.random.RandomState(3).randint(1, VOCABULARY, (BATCH, LENGTH)))
    ids[0, 9:] = 0
    ids[2, [0, 1, 3, 6, 7, 8, 12]] = 0
    ids[3, :] = 0
    ids[3, 7] = 4
    return ids


def case(power=0, scale="none", start="norms", landmarks=LANDMARKS, pairs=False):
    return {"power": power, "scale": scale, "start": start, "landmarks": landmarks, "pairs": pairs}


CASES = {
    "softmax": case(start="column_sum"),
    "softmax_norms": case(),
    "softmax_pairs": case(start="column_sum", pairs=True),
    "softmax_all_landmarks": case(landmarks=LENGTH),
    "softmax_full": case(landmarks=0),
    "poly1": case(power=1),
    "poly2": case(power=2),
    "poly3": case(power=3),
    "poly3_fixed": case(power=3, scale="fixed"),
    "poly3_dynamic": case(power=3, scale="dynamic"),
    "poly3_full": case(power=3, scale="fixed", landmarks=0),
}


def main():
    store = golden.Store("nystrom", __doc__)
    ids = tokens()
    store.array("ids", ids)
    for name, settings in CASES.items():
        normal = golden.Normal(seed=20)
        parameters = {}
        for key, shape in shapes(settings).items():
            is_norm = ".norm" in key and key.endswith("weight")
            mean = 1.0 if is_norm else 0.4 if key.endswith("scale") else 0.0
            deviation = 0.1 if is_norm or key.endswith(("bias", "scale")) else 0.5
            parameters[key] = normal(*shape, mean=mean, deviation=deviation).requires_grad_()
        d_logits = golden.Normal(seed=21)(BATCH // (2 if settings["pairs"] else 1), CLASSES)
        logits = logits_of(settings, parameters, ids)
        gradients = torch.autograd.grad((logits * d_logits).sum(), list(parameters.values()))
        store.named(name + "_parameters", parameters)
        store.named(name + "_gradients", dict(zip(parameters, gradients, strict=True)))
        store.array(name + "_d_logits", d_logits)
        store.array(name + "_logits", logits)
    store.close()


main()
