"""What every generator in this folder shares: frozen random numbers, and writing (or checking) the golden files.

A generator computes in float64, and rounds once, when the file is written: what is stored is the float32 that is
nearest to the exact answer. With `--check` nothing is written; the files are compared with what would be written.
"""

import argparse
import pathlib
import sys

import numpy as np
import safetensors.numpy
import torch

ROOT = pathlib.Path(__file__).resolve().parent


class Normal:
    """Standard normal numbers, rounded to float32 so that the inputs of a case are exact in both precisions.

    numpy froze the stream of RandomState: a seed gives these numbers in every release, before and after ours.
    """

    def __init__(self, seed):
        self._stream = np.random.RandomState(seed)

    def __call__(self, *shape, mean=0.0, deviation=1.0):
        values = mean + deviation * self._stream.standard_normal(shape)
        return torch.from_numpy(values.astype(np.float32).astype(np.float64))


class Store:
    """Writes the files of one topic into its folder; with `--check`, compares with the files that are there."""

    def __init__(self, topic, description):
        parser = argparse.ArgumentParser(description=description)
        parser.add_argument("--check", action="store_true", help="compare with the files, write nothing")
        self._check = parser.parse_args().check
        self._folder = ROOT / topic
        self._written = set()
        self._differences = 0
        torch.set_num_threads(1)  # a fixed order of summation
        torch.set_default_dtype(torch.float64)
        if not self._check:
            self._folder.mkdir(exist_ok=True)

    def array(self, name, values):
        """`values` as NAME.npy: floating point as float32, bytes as they are, other whole numbers as int64. A scalar
        has shape (1)."""
        values = _stored(values)
        path = self._path(name + ".npy")
        if self._check:
            self._compare(path, values, np.load(path) if path.exists() else None)
        else:
            np.save(path, values)

    def named(self, name, tensors):
        """A dictionary from parameter name to tensor as NAME.safetensors, all F32."""
        tensors = {key: _stored(values) for key, values in tensors.items()}
        path = self._path(name + ".safetensors")
        if self._check:
            old = safetensors.numpy.load_file(path) if path.exists() else {}
            if old.keys() != tensors.keys():
                self._report(path, "other names")
            for key in old.keys() & tensors.keys():
                self._compare(f"{path} {key}", tensors[key], old[key])
        else:
            path.write_bytes(safetensors.numpy.save(tensors))

    def text(self, name, text):
        path = self._path(name)
        if self._check:
            if not path.exists() or path.read_text() != text:
                self._report(path, "differs")
        else:
            path.write_text(text)

    def bytes(self, name, content):
        """`content` as it is: pixels one after another, or a file for a reader."""
        path = self._path(name)
        if self._check:
            if not path.exists() or path.read_bytes() != content:
                self._report(path, "differs")
        else:
            path.write_bytes(content)

    def close(self):
        """Last call of a generator: files that no case made any more are reported, and the exit status is set."""
        for path in sorted(self._folder.iterdir()):
            if path not in self._written:
                self._report(path, "is not made by this script")
        size = sum(path.stat().st_size for path in self._folder.iterdir())
        print(f"{self._folder.name}: {len(self._written)} files, {size / 1024:.0f} KiB, "
              f"{self._differences} {'differences' if self._check else 'stray files'}")
        sys.exit(1 if self._differences else 0)

    def _path(self, name):
        path = self._folder / name
        if path in self._written:
            raise ValueError(f"{path} is written twice")
        self._written.add(path)
        return path

    def _compare(self, where, new, old):
        if old is None or old.shape != new.shape or old.dtype != new.dtype:
            self._report(where, "missing, or another shape or type")
        elif not np.array_equal(new, old, equal_nan=True):
            # Another processor may sum float64 in another order, which now and then rounds to the neighbouring float32.
            ulps = np.abs(new.view(np.int32).astype(np.int64) - old.view(np.int32)) if new.dtype == np.float32 else [1]
            same_up_to_order = np.allclose(new, old, rtol=2.5e-7, atol=1e-12, equal_nan=True)
            self._report(where, f"differs, by up to {np.max(ulps)} units in the last place", fatal=not same_up_to_order)

    def _report(self, where, what, fatal=True):
        print(f"{where}: {what}")
        self._differences += fatal


def _stored(values):
    values = values.detach().numpy() if isinstance(values, torch.Tensor) else np.asarray(values)
    if values.dtype != np.uint8:
        values = values.astype(np.int64 if np.issubdtype(values.dtype, np.integer) else np.float32)
    return np.ascontiguousarray(values.reshape(values.shape or (1,)))
