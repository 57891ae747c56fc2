"""Golden data of MATLAB files: scipy writes them, and reads what is written here byte by byte.

Run: python make_mat.py [--check]
"""

import argparse
import io
import pathlib
import struct
import zlib

import numpy as np
import scipy.io
import scipy.sparse

FOLDER = pathlib.Path(__file__).parent / "mat"


def variables(version):
    """Arrays of every kind that scipy can save; the readable ones are u (2 x 3) and t (4 x 1)."""
    u = np.array([[1.5, -2, 3], [4, 5e-300, 6]])
    result = {"u": u, "text": "words", "z": u + 1j * u, "sparse": scipy.sparse.csc_matrix(np.eye(3)),
              "t": np.array([[1], [-2], [3], [32767]], dtype=np.int16), "single": np.array([[0.1]], dtype=np.float32)}
    if version == 5:
        result |= {"cells": np.array([u, "x"], dtype=object), "record": {"a": u, "b": "y"}, "logical": u > 2,
                   "cube": np.arange(24, dtype=np.uint8).reshape(2, 3, 4), "big": np.array([[2**40, -2**40]]),
                   "none": np.zeros((0, 3))}
    return result


def scipy_file(version, compressed):
    buffer = io.BytesIO()
    scipy.io.savemat(buffer, variables(version), format=str(version), do_compression=compressed, oned_as="column")
    content = bytearray(buffer.getvalue())
    if version == 5:
        content[:116] = b"MATLAB 5.0 MAT-file, written by scipy".ljust(116)  # it has the time in it
    return bytes(content)


def big_endian_file(compressed):
    """Two doubles arrays as a machine of the other byte order writes them; scipy must read the same."""
    def element(kind, content):
        return struct.pack(">II", kind, len(content)) + content + b"\0" * (-len(content) % 8)

    def matrix(name, array):
        head = element(6, struct.pack(">II", 6, 0)) + element(5, struct.pack(f">{array.ndim}i", *array.shape))
        label = struct.pack(">HH", len(name), 1) + name.ljust(4, b"\0")
        whole = element(14, head + label + element(9, array.astype(">f8").tobytes(order="F")))
        return struct.pack(">II", 15, len(zlib.compress(whole))) + zlib.compress(whole) if compressed else whole

    u, t = variables(5)["u"], np.array([[1.0], [-2], [3], [32767]])
    header = b"MATLAB 5.0 MAT-file, big-endian".ljust(116) + b"\0" * 8 + struct.pack(">H", 0x100) + b"MI"
    content = header + matrix(b"u", u) + matrix(b"t", t)
    read = scipy.io.loadmat(io.BytesIO(content))
    assert np.array_equal(read["u"], u) and np.array_equal(read["t"], t)
    return content


def big_endian_v4():
    content = b""
    for name, array in (("u", variables(4)["u"]), ("t", variables(4)["t"])):
        kind, stored = (1000, array.astype(">f8")) if name == "u" else (1030, array.astype(">i2"))
        content += struct.pack(">5i", kind, *array.shape, 0, 2) + name.encode() + b"\0" + stored.tobytes(order="F")
    read = scipy.io.loadmat(io.BytesIO(content))
    assert np.array_equal(read["u"], variables(4)["u"]) and np.array_equal(read["t"], variables(4)["t"])
    return content


files = {"v4.mat": scipy_file(4, False), "v5.mat": scipy_file(5, False), "v5_compressed.mat": scipy_file(5, True),
         "big_endian.mat": big_endian_file(False), "big_endian_compressed.mat": big_endian_file(True),
         "big_endian_v4.mat": big_endian_v4()}
parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("--check", action="store_true", help="write nothing, compare")
check = parser.parse_args().check
FOLDER.mkdir(exist_ok=True)
for name, content in files.items():
    if not check:
        (FOLDER / name).write_bytes(content)
    elif (FOLDER / name).read_bytes() != content:
        raise SystemExit(f"{name} differs")
print("the same" if check else f"wrote {len(files)} files")
