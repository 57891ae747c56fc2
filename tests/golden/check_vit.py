"""Recomputes the golden data of the vision transformer in numpy alone, without PyTorch or timm, from the stored files.

The logits and losses from the formulas, written out; the gradients as slopes of the loss along random directions in the
space of all parameters and pixels, by central differences in float64. Exit status 1 if anything disagrees.
Run: python check_vit.py
"""

import math
import pathlib
import sys

import numpy as np
import safetensors.numpy

FOLDER = pathlib.Path(__file__).resolve().parent / "vit"
PATCH, HEADS, EPSILON = 4, 3, 1e-6
TOLERANCE = 2e-6  # the files are rounded to float32


def array(name):
    return np.load(FOLDER / f"{name}.npy").astype(np.float64)


def named(name):
    tensors = safetensors.numpy.load_file(FOLDER / f"{name}.safetensors")
    return {key: values.astype(np.float64) for key, values in tensors.items()}


def linear(p, name, x):
    return x @ p[f"{name}.weight"].T + p[f"{name}.bias"]


def layer_norm(p, name, x):
    centred = x - x.mean(-1, keepdims=True)
    return centred / np.sqrt((centred**2).mean(-1, keepdims=True) + EPSILON) * p[f"{name}.weight"] + p[f"{name}.bias"]


def gelu(x):
    return x * 0.5 * np.vectorize(math.erfc)(-x / math.sqrt(2.0))


def softmax(s):
    e = np.exp(s - s.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)


def weights_of(case, p, block, scores):
    if case == "softmax":
        return softmax(scores)
    scale = {"fixed": 1 / math.sqrt(scores.shape[-1]), "dynamic": p.get(f"blocks.{block}.attn.activation.scale")}
    return scale.get(case[6:], 1.0) * scores ** int(case[4])


def self_attention(case, p, block, x):
    batch, tokens, width = x.shape
    qkv = linear(p, f"blocks.{block}.attn.qkv", x)
    out = np.empty_like(x)
    d = width // HEADS
    for head in range(HEADS):  # columns of qkv: all of q, all of k, all of v, each ordered by head
        q, k, v = (qkv[..., part * width + head * d : part * width + (head + 1) * d] for part in range(3))
        scores = np.einsum("bnd,bmd->bnm", q, k) / math.sqrt(d)
        out[..., head * d : (head + 1) * d] = weights_of(case, p, block, scores) @ v
    return linear(p, f"blocks.{block}.attn.proj", out)


def logits_of(case, p, images):
    batch, channels, height, width = images.shape
    tokens = [np.broadcast_to(p["cls_token"][:, 0], (batch, p["cls_token"].shape[-1]))]
    kernel = p["patch_embed.proj.weight"]
    for row in range(0, height, PATCH):
        for column in range(0, width, PATCH):
            patch = images[:, :, row : row + PATCH, column : column + PATCH]
            tokens.append(np.einsum("bcyx,ocyx->bo", patch, kernel) + p["patch_embed.proj.bias"])
    x = np.stack(tokens, 1) + p["pos_embed"]
    for block in range(2):
        x = x + self_attention(case, p, block, layer_norm(p, f"blocks.{block}.norm1", x))
        hidden = gelu(linear(p, f"blocks.{block}.mlp.fc1", layer_norm(p, f"blocks.{block}.norm2", x)))
        x = x + linear(p, f"blocks.{block}.mlp.fc2", hidden)
    return linear(p, "head", layer_norm(p, "norm", x)[:, 0])


def loss_of(logits, labels):
    return -np.log(softmax(logits)[np.arange(len(labels)), labels]).mean()


def main():
    images, labels = array("images"), np.load(FOLDER / "labels.npy")
    stream = np.random.RandomState(3)
    failed = False
    for case in ["softmax", *(f"poly{p}" for p in range(1, 7)), "poly3_fixed", "poly3_dynamic"]:
        p = named("poly3_dynamic_weights" if case == "poly3_dynamic" else "weights")
        point, gradient = p | {"images": images}, named(f"{case}_gradients") | {"images": array(f"{case}_d_images")}
        expected = array(f"{case}_logits")
        logits = logits_of(case, p, images)
        errors = [np.abs(logits - expected).max() / np.abs(expected).max(),
                  abs(loss_of(logits, labels) / array(f"{case}_loss")[0] - 1)]
        for name in point:  # one direction in each tensor, so that an error in a small one is not lost among the large
            direction = stream.standard_normal(point[name].shape)
            ahead, behind = ({**point, name: point[name] + h * direction} for h in (1e-6, -1e-6))
            slope = (loss_of(logits_of(case, ahead, ahead["images"]), labels)
                     - loss_of(logits_of(case, behind, behind["images"]), labels)) / 2e-6
            errors.append(abs(slope - (gradient[name] * direction).sum()) / np.linalg.norm(gradient[name]))
        assert point.keys() == gradient.keys()
        failed |= not max(errors) < TOLERANCE
        print(f"{case:14} logits {errors[0]:.1e}  loss {errors[1]:.1e}  "
              f"worst of {len(errors) - 2} slopes {max(errors[2:]):.1e}")
    sys.exit(failed)


main()
