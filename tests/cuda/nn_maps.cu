// Modules of feature maps, forward and backward.
#include "attn/nn/average_pooling.hpp"
#include "attn/nn/batch_norm.hpp"
#include "attn/nn/convolution.hpp"
#include "attn/nn/group_norm.hpp"
#include "attn/nn/max_pooling.hpp"
#include "attn/nn/patch_merging.hpp"
#include "attn/nn/resize.hpp"
#include "attn/nn/transposed_convolution.hpp"

namespace attn_cuda {

template <class Ctx, class M, class X>
auto there_and_back(Ctx& ctx, M const& module, X const& x) {
  auto [y, tape] = module.forward(ctx, x);
  return module.backward(ctx, std::move(tape), y);
}

template <class T, class Ctx>
double maps(Ctx& ctx, attn::Tensor<T const, 4, Kokkos::CudaSpace> x) {
  using namespace attn::nn;
  Convolution const stem(ctx / "stem", {.inputs = 3, .outputs = 16, .stride = 2, .padding = 1});
  Convolution const depthwise(ctx / "dw", {.inputs = 16, .outputs = 16, .padding = 1, .groups = 16});
  TransposedConvolution const up(ctx / "up", {.inputs = 16, .outputs = 8, .stride = 2});
  auto const y = stem.forward(ctx, x).value;
  double sum = double(there_and_back(ctx, stem, x).size());
  sum += double(there_and_back(ctx, depthwise, y).size() + there_and_back(ctx, up, y).size());
  sum += double(there_and_back(ctx, BatchNorm(ctx / "bn", {.channels = 16}), y).size());
  sum += double(there_and_back(ctx, GroupNorm(ctx / "gn", {.channels = 16, .groups = 4}), y).size());
  sum += double(there_and_back(ctx, MaxPooling(), y).size() + there_and_back(ctx, AveragePooling(), y).size());
  sum += double(there_and_back(ctx, GlobalAveragePooling(), y).size());
  sum += double(there_and_back(ctx, PatchMerging(ctx / "merging", {.width = 16}), y).size());
  sum += double(there_and_back(ctx, Resize({.method = attn::Resampling::bicubic}), y).size());
  return sum;
}

double all_maps(attn::Tensor<float const, 4, Kokkos::CudaSpace> x,
                attn::Tensor<double const, 4, Kokkos::CudaSpace> wide) {
  attn::nn::Context<Kokkos::Cuda> ctx(1);
  attn::nn::Context<Kokkos::Cuda, double> wide_ctx(2);
  return maps(ctx, x) + maps(wide_ctx, wide);
}

}  // namespace attn_cuda
