// The small vision transformer of tests/golden/vit, with its weights.
#pragma once

#include "attn/io/safetensors.hpp"
#include "attn/models/vit.hpp"
#include "attn/nn/loss.hpp"

#include "support.hpp"

namespace attn_test {

template <class T>
using Ctx = attn::nn::Context<Exec, T>;
template <class A>
using Vit = attn::models::Vit<attn::models::VitBlock<A>>;

template <class A>
attn::models::VitConfig<A> golden_config(A const& activation = {}) {
  return {.width = 24,
          .depth = 2,
          .heads = 3,
          .image_height = 16,
          .image_width = 12,
          .channels = 3,
          .patch_height = 4,
          .patch_width = 4,
          .classes = 7,
          .activation = activation};
}

/// Gives each parameter the tensor of its name, whose shape must be the same; both must have the same names.
template <class T>
void load_weights(Ctx<T>& ctx, std::string const& file) {
  attn::io::Safetensors const weights(golden_path(file));
  EXPECT_EQ(weights.tensors().size(), ctx.parameters.entries().size());
  for (auto const& e : ctx.parameters.entries()) {
    attn::io::Shape const shape(e.shape.begin(), e.shape.end());
    auto const values = weights.get<float>(e.name, shape);
    ctx.parameters.assign(e, std::span<float const>(values));
  }
}

/// Logits, loss, all gradients and that of the images, against the files of `name`.
template <class A, class T>
void expect_golden_vit(std::string const& name, A const& activation, std::string const& weights, double tolerance) {
  Ctx<T> ctx;
  Vit<A> const model(ctx, golden_config(activation));
  load_weights(ctx, weights);
  auto const images = golden_array<T, 4>("vit/images");
  auto const labels = golden_array<std::int32_t, 1>("vit/labels");
  ctx.training = false;
  ctx.keep_tape = true;

  auto [logits, tape] = model.forward(ctx, images.tensor());
  EXPECT_SOUND(attn::testing::allclose(logits, golden("vit/" + name + "_logits"), tolerance).about(name + " logits"));
  auto [loss, d_logits] = attn::nn::cross_entropy(ctx, logits, labels.tensor());
  EXPECT_NEAR(loss.mean(), golden("vit/" + name + "_loss")[0], tolerance) << name;
  auto const d_images = model.backward_input(ctx, std::move(tape), d_logits);
  EXPECT_SOUND(
      attn::testing::allclose(d_images, golden("vit/" + name + "_d_images"), tolerance).about(name + " d_images"));

  attn::io::Safetensors const gradients(golden_path("vit/" + name + "_gradients.safetensors"));
  EXPECT_EQ(gradients.tensors().size(), ctx.parameters.entries().size());
  for (auto const& e : ctx.parameters.entries()) {
    EXPECT_SOUND(attn::testing::allclose(ctx.parameters.host_gradients(e),
                                         gradients.array(e.name).template as<double>(), tolerance)
                     .about(name + " " + e.name));
  }
}

}  // namespace attn_test
