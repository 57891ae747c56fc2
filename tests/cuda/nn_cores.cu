// What attends besides full attention: windows with their bias, channels, and keys with lengths, forward and backward.
#include "attn/activation/softmax.hpp"
#include "attn/nn/cross_covariance_attention.hpp"
#include "attn/nn/full_attention.hpp"
#include "attn/nn/window_attention.hpp"

namespace attn_cuda {

using CoreContext = attn::nn::Context<Kokkos::Cuda>;

template <class Core>
void attend(CoreContext& ctx, attn::nn::Attention<attn::nn::FusedQkv, Core> const& attention) {
  auto [y, tape] = attention.forward(ctx, ctx.tensor(2, 14, 14, 64));
  attention.norms(ctx, tape);
  attention.weights(ctx, tape, 0);
  attention.backward(ctx, std::move(tape), y);
}

void attend_with_all(CoreContext& ctx, attn::Tensor<int const, 1, Kokkos::CudaSpace> lengths) {
  attend<attn::nn::WindowAttention<attn::Softmax>>(ctx, {ctx / "a", {.width = 64, .heads = 2, .core = {.shift = 3}}});
  attend<attn::nn::CrossCovarianceAttention<attn::Softmax>>(ctx, {ctx / "b", {.width = 64, .heads = 2}});
  attn::nn::WithSequences const padded(ctx, {.lengths = lengths});
  attend<attn::nn::FullAttention<attn::Softmax, attn::KeyPadding>>(ctx, {ctx / "c", {.width = 64, .heads = 2}});
}

}  // namespace attn_cuda
