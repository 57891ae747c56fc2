// Modules, losses and a whole vision transformer, forward and backward; softmax, a polynomial with a
// trained scale for each head, and one in double.
#include "attn/activation/poly.hpp"
#include "attn/activation/softmax.hpp"
#include "attn/models/vit.hpp"
#include "attn/nn/loss.hpp"
#include "attn/nn/sequential.hpp"

namespace attn_cuda {

using Exec = Kokkos::Cuda;

template <class Activation, class T>
double train(attn::nn::Context<Exec, T>& ctx, Activation const& activation,
             attn::Tensor<T const, 4, Kokkos::CudaSpace> images,
             attn::Tensor<std::int32_t const, 1, Kokkos::CudaSpace> labels) {
  attn::models::Vit<attn::models::VitBlock<Activation>> const model(ctx, {.width = 192,
                                                                          .heads = 3,
                                                                          .dropout = 0.1,
                                                                          .stochastic_depth = 0.1,
                                                                          .activation = activation,
                                                                          .scale_per_head = true});
  auto [logits, tape] = model.forward(ctx, images);
  auto const norms = model.attention_norms(ctx, tape);
  auto const weights = model.attention_weights(ctx, tape, 0, 0);
  auto [loss, d_logits] = attn::nn::cross_entropy(ctx, logits, labels, {.label_smoothing = 0.1});
  auto [soft_loss, d_soft] = attn::nn::cross_entropy(ctx, logits, logits);
  ctx.parameters.zero_gradients(ctx.exec);
  model.backward(ctx, std::move(tape), d_logits);
  auto const d_images = model.backward_input(ctx, std::move(tape), d_soft);
  return loss.mean() + soft_loss.mean() + norms[0].frobenius + double(weights.size() + d_images.size());
}

double train_all(attn::Tensor<float const, 4, Kokkos::CudaSpace> images,
                 attn::Tensor<double const, 4, Kokkos::CudaSpace> wide_images,
                 attn::Tensor<std::int32_t const, 1, Kokkos::CudaSpace> labels) {
  attn::nn::Context<Exec> softmax(1), trained(2);
  attn::nn::Context<Exec, double> wide(3);
  return train(softmax, attn::Softmax{}, images, labels) +
         train(trained, attn::Poly<3, attn::DynamicScale>{}, images, labels) +
         train(wide, attn::Poly<3>{}, wide_images, labels);
}

void layers(attn::nn::Context<Exec>& ctx) {
  using namespace attn::nn;
  Sequential const net(Linear(ctx / "0", {.inputs = 5, .outputs = 6}), Pointwise<Tanh>(), Dropout(ctx / "2", 0.1),
                       Pointwise<Silu>(), LayerNorm(ctx / "4", {.width = 6}));
  auto [y, tape] = net.forward(ctx, ctx.tensor(4, 5));
  net.backward(ctx, std::move(tape), y);
}

}  // namespace attn_cuda
