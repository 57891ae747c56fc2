#include "differential.hpp"

namespace attn_cuda::differential {

/// Windows of Swin, shifted or not, and longer sequences. Warpgroups take no bias.
template <class X, class MakeActivation>
void expect_right_with_bias(double tolerance, MakeActivation const& activation) {
  constexpr int all = 1 << 20;
  AnyMask const full{{all, all}, all, nullptr}, shifted{{all, all}, 28, nullptr}, causal{{all, 0}, all, nullptr};
  for (Index const width : {32, 64, 128}) {
    if (!attn::detail::cuda::has_width(width)) continue;
    for (AnyMask const& mask : {full, shifted, causal}) {
      for (Index const tokens : {49, 50, 333}) {
        SCOPED_TRACE("width " + std::to_string(width) + ", " + std::to_string(tokens) + " tokens");
        Call<X, attn::Fp32Products, MakeActivation, true>({8, 4, 2, tokens, width}, Layout::packed_qkv, mask,
                                                          activation)
            .expect_right({{"(tensor cores", "(tensor cores", true}}, tolerance);
      }
    }
  }
}

template <class X>
void expect_right_with_bias(double tolerance) {
  expect_right_with_bias<X>(tolerance, [](float const*, float*) { return attn::Softmax{}; });
  expect_right_with_bias<X>(tolerance, [](float const* scale, float* gradient) {
    return attn::Poly<3, attn::DynamicScale>{{scale, gradient}};
  });
}

TEST(Differential, Bias) {
  expect_right_with_bias<Kokkos::Experimental::bhalf_t>(1e-2);
  expect_right_with_bias<float>(1e-5);
}

}  // namespace attn_cuda::differential
