# attn for Spack 1.0 or later: `spack repo add cmake/packaging/spack/spack_repo/attn && spack install attn` in a checkout.
import os

from spack_repo.builtin.build_systems.cmake import CMakePackage
from spack_repo.builtin.build_systems.cuda import CudaPackage

from spack.package import *

CHECKOUT = os.path.abspath(os.path.join(os.path.dirname(__file__), *[os.pardir] * 7))


class Attn(CMakePackage, CudaPackage):
    """Attention with pluggable activations, and transformers built from it, on Kokkos."""

    homepage = "https://arxiv.org/abs/2410.18613"
    git = "file://" + CHECKOUT

    license("Apache-2.0")

    version("main", branch="main")
    version("0.1.0", tag="v0.1.0")

    variant("openmp", default=True, description="Use the threads of OpenMP on hosts")
    variant("blas", default=True, description="Multiply matrices by a CBLAS where oneDNN is not there")
    variant("files", default=True, description="Read and write pictures, JSON and compressed files")

    depends_on("cxx", type="build")
    depends_on("cmake@3.25:", type="build")
    depends_on("kokkos@4.6:")
    depends_on("kokkos cxxstd=20", when="^kokkos@4")
    depends_on("kokkos+openmp", when="+openmp")
    for arch in ("80", "86", "89", "90"):
        depends_on(f"kokkos+cuda cuda_arch={arch}", when=f"+cuda cuda_arch={arch}")
    depends_on("kokkos@4.7:", when="+cuda ^cuda@13:")
    depends_on("openblas", when="+blas")
    depends_on("eigen")
    with when("+files"):
        depends_on("zlib-api")
        depends_on("libpng")
        depends_on("libjpeg-turbo")
        depends_on("nlohmann-json")
        depends_on("cli11")

    conflicts("%gcc@:11", msg="attn is tried with g++ 12 and later")

    def cmake_args(self):
        return [
            self.define("ATTN_KOKKOS", "find"),
            self.define("ATTN_ENABLE_TESTS", False),
            self.define("ATTN_ENABLE_EXAMPLES", False),
            self.define("ATTN_ENABLE_BENCHMARKS", False),
            self.define("ATTN_ENABLE_DOCS", False),
            self.define_from_variant("ATTN_ENABLE_CUDA", "cuda"),
        ]
