"""PyTorch's matrix product, float32. Cases: gemm/M/K/N, (M, K) times (K, N), into a matrix that is there already."""

import peer  # first, because it says what to install
import torch


def variants(name):
    kind, *shape = name.split("/")
    if kind != "gemm":
        return {}
    m, k, n = map(int, shape)
    a, b, c = torch.randn(m, k), torch.randn(k, n), torch.empty(m, n)
    return {"eager": lambda: peer.by_clock(lambda: torch.mm(a, b, out=c))}


peer.run(peer.parse(__doc__), variants, ["gemm/1024/1024/1024", "gemm/4096/192/768", "gemm/197/64/197", "gemm/64/64/64"])
