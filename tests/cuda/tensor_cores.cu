// The kernels that matter most, whose machine code a test looks at (test_machine_code.cpp): bf16, heads of 64, forward
// and backward, a row-normalised and a trained pointwise activation; on Hopper also narrow and wide heads, tf32, and
// those with dropout that take the most registers; and what surrounds them.
#undef ATTN_CUDA_WIDTHS
#define ATTN_CUDA_WIDTHS 64
#include "attention_calls.hpp"
#include "elementwise_calls.hpp"

namespace attn_cuda {

void tensor_cores(View<Kokkos::Experimental::bhalf_t> const& x, float const* scale, float* d_scale) {
  attend<Kokkos::Experimental::bhalf_t>(attn::Softmax{}, x);
  attend<Kokkos::Experimental::bhalf_t>(attn::Poly<3, attn::DynamicScale>{{scale, d_scale}}, x);
}

}  // namespace attn_cuda

namespace attn::detail::cuda {

#if !defined(ATTN_CUDA_HOPPER)

// A window of Swin with a bias. Hopper's warpgroups take none.
using X = Kokkos::Experimental::bhalf_t;
using In = Tensor<X const, 4, Kokkos::CudaSpace>;
using Out = Tensor<X, 4, Kokkos::CudaSpace>;
using Added = ScoreBias<float, Kokkos::CudaSpace>;
using Biased = TeamBackwardInputs<Softmax, In, In, In, In, In, Full, Added, StatsOf<Softmax, float>, float>;
template <Part part>
using OfWindow =
    Gradient<Format::bf16, 32, BackwardTileShape<Format::bf16, 32, part, Length::small>, part, Biased, Out, Out>;
template __global__ void run_kernel(Forward<Format::bf16, 32, ForwardTileShape<Format::bf16, 32, Length::small>,
                                            Softmax, In, In, In, Out, Full, NoDropout, Added> const);
template __global__ void run_kernel(OfWindow<Part::queries> const);
template __global__ void run_kernel(OfWindow<Part::keys_and_values> const);
template __global__ void run_kernel(
    BiasGradient<Format::bf16, 32, BiasTileShape<Format::bf16, 32>, Biased, Tensor<float, 4, Kokkos::CudaSpace>> const);

#else

template <int width, int consumers = 2, class Dropout = NoDropout>
using OfWidth =
    HopperForward<Format::bf16, width, HopperTileShape<width, consumers>, Softmax, CUtensorMap, Full, Dropout>;
template __global__ void run_hopper_kernel(__grid_constant__ OfWidth<32, 3> const);
template __global__ void run_hopper_kernel(__grid_constant__ OfWidth<128> const);
template __global__ void run_hopper_kernel(__grid_constant__ OfWidth<256> const);
template __global__ void run_hopper_kernel(__grid_constant__ OfWidth<64, 2, AttentionDropout> const);

template <class A, int width, int consumers>
using OfTf32 =
    HopperForward<Format::tf32, width, HopperTileShape<width, consumers, Format::tf32>, A, CUtensorMap, Full>;
template __global__ void run_hopper_kernel(__grid_constant__ OfTf32<Softmax, 32, 3> const);
template __global__ void run_hopper_kernel(__grid_constant__ OfTf32<Softmax, 64, 3> const);
template __global__ void run_hopper_kernel(__grid_constant__ OfTf32<Poly<3, DynamicScale>, 64, 3> const);
void tf32(Kokkos::Cuda const& exec, Tensor<float const, 4, Kokkos::CudaSpace> const& x,
          Tensor<float, 4, Kokkos::CudaSpace> const& out) {
  forward_on_hopper<Format::tf32, 128>(exec, Softmax(), x, x, x, out, nullptr, Full(), NoDropout(), 1.0f);
}

template <class X, class A = Softmax, class Dropout = NoDropout, class M = Full,
          class Rows = Tensor<X const, 4, Kokkos::CudaSpace>>
using InputsOf = TeamBackwardInputs<A, Rows, Rows, Rows, Rows, Rows, M, NoBias, StatsOf<A, float>, float, Dropout>;
template <class Dropout = NoDropout>
using Inputs = InputsOf<Kokkos::Experimental::bhalf_t, Softmax, Dropout>;
template <int width, Part part, int consumers = 2, class Dropout = NoDropout>
using GradientOfWidth =
    HopperGradient<Format::bf16, width, HopperBackwardTileShape<Format::bf16, width, consumers, part>, part,
                   Inputs<Dropout>, CUtensorMap>;
using AllOfDropout = HopperGradient<Format::bf16, 64, HopperBackwardTileShape<Format::bf16, 64, 2, Part::all>,
                                    Part::all, Inputs<AttentionDropout>, CUtensorMap>;
// Under masks that take many registers to ask.
template <class A, int width, Part part, class Dropout = NoDropout, class M = Both<Window, KeyPadding>>
using GradientOfMask = HopperGradient<Format::bf16, width, HopperBackwardTileShape<Format::bf16, width, 2, part>, part,
                                      InputsOf<Kokkos::Experimental::bhalf_t, A, Dropout, M>, CUtensorMap>;
template __global__ void run_hopper_kernel(__grid_constant__ GradientOfMask<Softmax, 64, Part::all> const);
template __global__ void run_hopper_kernel(
    __grid_constant__ GradientOfMask<Poly<3, DynamicScale>, 64, Part::all> const);
template __global__ void run_hopper_kernel(
    __grid_constant__ GradientOfMask<Softmax, 128, Part::keys_and_values, AttentionDropout> const);
// The bias of the sigmoid is found in double.
template __global__ void run_hopper_kernel(__grid_constant__ GradientOfMask<Sigmoid, 64, Part::all> const);
template __global__ void run_hopper_kernel(
    __grid_constant__ GradientOfMask<Sigmoid, 64, Part::all, NoDropout, Causal> const);
template <class A, int width, Part part>
using GradientOfTf32 = HopperGradient<Format::tf32, width, HopperBackwardTileShape<Format::tf32, width, 2, part>, part,
                                      InputsOf<float, A>, CUtensorMap>;
template __global__ void run_hopper_kernel(__grid_constant__ GradientOfTf32<Softmax, 32, Part::queries> const);
template __global__ void run_hopper_kernel(__grid_constant__ GradientOfTf32<Softmax, 32, Part::keys_and_values> const);
template __global__ void run_hopper_kernel(__grid_constant__ GradientOfTf32<Softmax, 64, Part::queries> const);
template __global__ void run_hopper_kernel(__grid_constant__ GradientOfTf32<Softmax, 64, Part::keys_and_values> const);
void tf32(Kokkos::Cuda const& exec, InputsOf<float, Poly<3, DynamicScale>> const& x, float* memory,
          Tensor<float, 4, Kokkos::CudaSpace> const& d) {
  backward_on_hopper<Format::tf32, 64>(exec, x, memory, memory, d, d, d);
}
template __global__ void run_hopper_kernel(__grid_constant__ GradientOfWidth<32, Part::queries, 3> const);
template __global__ void run_hopper_kernel(__grid_constant__ GradientOfWidth<32, Part::keys_and_values> const);
template __global__ void run_hopper_kernel(
    __grid_constant__ GradientOfWidth<64, Part::keys_and_values, 2, AttentionDropout> const);
template __global__ void run_hopper_kernel(__grid_constant__ AllOfDropout const);
template __global__ void run_hopper_kernel(__grid_constant__ GradientOfWidth<128, Part::queries> const);
template __global__ void run_hopper_kernel(__grid_constant__ GradientOfWidth<128, Part::keys_and_values> const);
template __global__ void run_hopper_kernel(__grid_constant__ GradientOfWidth<256, Part::queries> const);
template __global__ void run_hopper_kernel(__grid_constant__ GradientOfWidth<256, Part::keys> const);
template __global__ void run_hopper_kernel(__grid_constant__ GradientOfWidth<256, Part::values> const);

#endif

}  // namespace attn::detail::cuda
