"""PyTorch's matrix product, float32."""

import peer

DEFAULT = [(1024, 1024, 1024), (4096, 192, 768), (197, 64, 197), (64, 64, 64)]


def flags(parser):
    parser.add_argument("--shape", type=peer.extents, action="append", metavar="M,K,N",
                        help=f"(M, K) times (K, N); may be repeated; without it {DEFAULT}")


arguments = peer.parse(__doc__, flags)
for shape in arguments.shape or DEFAULT:
    peer.gemm(*shape, arguments.min_time)
