"""Prints what CMake must know of this Python's PyTorch: version;ABI;CUDA;folder of libraries;folders of headers..."""

import pathlib

import torch

root = pathlib.Path(torch.__file__).parent
include = root / "include"
print(";".join([torch.__version__, str(int(torch.compiled_with_cxx11_abi())), "1" if torch.version.cuda else "0",
                str(root / "lib"), str(include), str(include / "torch" / "csrc" / "api" / "include")]))
