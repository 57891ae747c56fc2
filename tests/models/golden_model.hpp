// A model with the weights of tests/golden against its logits and gradients there (tests/golden/vision.py).
#pragma once

#include "attn/io/safetensors.hpp"
#include "attn/nn/context.hpp"

#include "support.hpp"

namespace attn_test {

/// Gives each parameter and buffer the tensor of its name and shape.
template <class Ctx>
void load_state(Ctx& ctx, std::string const& file) {
  attn::io::Safetensors const state(golden_path(file));
  auto const load = [&](auto const& e) {
    auto const array = state.array(e.name);
    EXPECT_EQ(array.shape, e.shape.empty() ? attn::io::Shape{1} : attn::io::Shape(e.shape.begin(), e.shape.end()))
        << e.name;
    auto const values = array.template as<float>();
    ctx.parameters.assign(e, std::span<float const>(values));
  };
  for (auto const& e : ctx.parameters.entries()) load(e);
  for (auto const& e : ctx.parameters.buffer_entries()) load(e);
}

/// All gradients against those of the case `at`: "swin/prime_cube_training_".
template <class Ctx>
void expect_golden_gradients(Ctx& ctx, std::string const& at, double tolerance) {
  attn::io::Safetensors const gradients(golden_path(at + "gradients.safetensors"));
  EXPECT_EQ(gradients.tensors().size(), ctx.parameters.entries().size());
  for (auto const& e : ctx.parameters.entries()) {
    EXPECT_SOUND(attn::testing::allclose(ctx.parameters.host_gradients(e),
                                         gradients.array(e.name).template as<double>(), tolerance)
                     .about(at + e.name));
  }
}

/// The logits of `model` and all gradients for "TOPIC/d_logits", in training or in evaluation.
template <class Model, class Config>
void expect_golden_model(std::string const& topic, std::string const& images, std::string const& state,
                         std::string const& name, Config const& config, double tolerance) {
  using Ctx = attn::nn::Context<Exec>;
  std::string const at = topic + "/" + name + "_";
  Ctx ctx;
  Model const model(ctx, config);
  load_state(ctx, topic + "/" + state + ".safetensors");
  ctx.training = name.ends_with("training");
  ctx.keep_tape = true;
  auto const x = golden_array<float, 4>(topic + "/" + images);
  auto const d_logits = golden_array<float, 3>(topic + "/d_logits");  // (heads, B, classes)
  auto [logits, tape] = model.forward(ctx, x.tensor());
  EXPECT_SOUND(attn::testing::allclose(logits, golden(at + "logits"), tolerance).about(at + "logits"));
  auto const d_images =
      model.backward_input(ctx, std::move(tape), {d_logits.tensor().data(), logits.extents()});  // of the first head
  EXPECT_SOUND(attn::testing::allclose(d_images, golden(at + "d_images"), tolerance).about(at + "d_images"));
  expect_golden_gradients(ctx, at, tolerance);
}

}  // namespace attn_test
