"""Usage: python test_weights.py train_vision. Weights that it trained answer the same in timm's model, and again when
they come back: softmax, and x^3 with a trained scale."""

import pathlib
import subprocess
import sys
import tempfile

import numpy
import timm
import torch

import weights


def run(*flags):
    subprocess.run([sys.argv[1], *map(str, flags)], check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def answers(model, images):
    with torch.no_grad():
        return model.eval()(images).numpy()


with tempfile.TemporaryDirectory() as folder:
    folder = pathlib.Path(folder)
    images = numpy.random.RandomState(1).standard_normal((5, 1, 28, 28)).astype(numpy.float32)
    numpy.save(folder / "x.npy", images)
    for activation in ("softmax", "poly"):
        flags = ["--activation", activation] + (["--scale", "dynamic"] if activation == "poly" else [])
        run(*flags, "--epochs", 1, "--train-limit", 320, "--test-limit", 50, "--lr", "1e-2", "--pool", "token",
            "--out", folder / activation)
        file = folder / activation / "weights.safetensors"
        model = timm.models.VisionTransformer(
            img_size=28, patch_size=7, in_chans=1, num_classes=10, embed_dim=64, depth=4, num_heads=2)
        if activation == "poly":
            for block in model.blocks:
                block.attn = weights.PolyAttention(block.attn, 3)
        weights.load(model, file)
        weights.save(model, folder / "back.safetensors", like=file)
        expected = answers(model, torch.from_numpy(images))
        for source in (file, folder / "back.safetensors"):
            run("--weights", source, "--predict", folder / "x.npy", "--out", folder / "answers")
            logits = numpy.load(folder / "answers" / "logits.npy")
            assert numpy.abs(logits - expected).max() < 1e-4 * numpy.abs(expected).max() + 1e-6, (activation, source)
print("weights in timm and back: passed")
