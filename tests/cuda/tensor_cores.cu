// The kernels that matter most, whose machine code a test looks at (test_machine_code.cpp): bf16, heads of 64, forward
// and backward, a row-normalised and a trained pointwise activation; on Hopper also wide heads.
#undef ATTN_CUDA_WIDTHS
#define ATTN_CUDA_WIDTHS 64
#include "attention_calls.hpp"

namespace attn_cuda {

void tensor_cores(View<Kokkos::Experimental::bhalf_t> const& x, float const* scale, float* d_scale) {
  attend<Kokkos::Experimental::bhalf_t>(attn::Softmax{}, x);
  attend<Kokkos::Experimental::bhalf_t>(attn::Poly<3, attn::DynamicScale>{{scale, d_scale}}, x);
}

}  // namespace attn_cuda

#if defined(ATTN_CUDA_HOPPER)
namespace attn::detail::cuda {

template <int width>
using Wide = HopperForward<Format::bf16, width, HopperTileShape<width, 2>, Softmax, CUtensorMap, Full>;
template __global__ void run_hopper_kernel(__grid_constant__ Wide<128> const);
template __global__ void run_hopper_kernel(__grid_constant__ Wide<256> const);

}  // namespace attn::detail::cuda
#endif
