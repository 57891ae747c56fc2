// What surrounds attention in a block of a transformer, in fp32 and in bf16, and the optimizer: kernels whose loads and
// stores a test looks at (test_machine_code.cpp).
#pragma once

#include "attn/nn/layer_norm.hpp"
#include "attn/nn/mlp.hpp"
#include "attn/optim/adamw.hpp"

namespace attn_cuda {

template <class T>
void work_on(Kokkos::Cuda const& exec, T* x, float const* parameters, float* statistics) {
  using namespace attn::nn::detail;
  attn::Index const rows = 8, width = 768;
  attn::for_rows<T>(exec, "norm", rows, width,
                    LayerNormForward<T>{x, parameters, parameters, x, statistics, width, 1e-6f});
  attn::for_rows<T>(exec, "norm backward", rows, width,
                    LayerNormBackward<T>{x, x, parameters, statistics, x, width, true});
  attn::Tensor<float, 1, Kokkos::CudaSpace> const sums(statistics, {width});
  attn::linalg::column_sums_of<float, T>(exec, rows, width,
                                         LayerNormTerm<T>{{x, x, parameters, statistics, x, width, true}}, 1, sums);
  attn::elementwise<T>(exec, "GELU", rows, width, Hidden<T, attn::nn::Gelu>{{}, x, x, parameters, {}, width});
  attn::elementwise<T>(exec, "end of a branch", rows, width,
                       FinishRow<T>{x, parameters, x, parameters, 1, {.keep = 0.5f}, width});
}

inline void work_around_attention(float* wide, attn::BFloat16* narrow) {
  Kokkos::Cuda const exec;
  work_on(exec, wide, wide, wide);
  work_on(exec, narrow, wide, wide);
  using Update = attn::optim::detail::AdamWUpdate<float, attn::optim::detail::UniformRates<float>>;
  attn::optim::detail::for_each_element<float>(exec, "AdamW", 768, Update{wide, wide, wide, wide, wide});
}

}  // namespace attn_cuda
