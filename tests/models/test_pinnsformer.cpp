#include "attn/activation/activation.hpp"
#include "attn/models/pinnsformer.hpp"
#include "attn/testing/check_module.hpp"

#include <gtest/gtest.h>

namespace {

using Exec = Kokkos::DefaultExecutionSpace;

TEST(PinnsFormer, HasTheParametersOfTheReference) {
  attn::nn::Context<Exec> two, three, scaled;
  attn::models::PinnsFormer<attn::Softmax> const a(two, {});
  EXPECT_EQ(two.parameters.count(), 453561);
  attn::models::PinnsFormer<attn::Softmax> const b(three, {.inputs = 3, .outputs = 2});
  EXPECT_EQ(three.parameters.count(), 454106);
  attn::models::PinnsFormer<attn::Poly<3, attn::DynamicScale>> const c(scaled, {});
  EXPECT_EQ(scaled.parameters.count(), 453563);
  for (char const* name :
       {"linear_emb.weight", "encoder.layers.0.attn.in_proj_weight", "encoder.layers.0.attn.out_proj.weight",
        "encoder.layers.0.ff.linear.0.weight", "encoder.layers.0.ff.linear.1.w1", "encoder.layers.0.act1.w1",
        "encoder.layers.0.act2.w2", "encoder.act.w1", "decoder.layers.0.attn.in_proj_bias",
        "decoder.layers.0.ff.linear.4.bias", "decoder.act.w2", "linear_out.0.weight", "linear_out.4.bias"}) {
    EXPECT_TRUE(two.parameters.contains(name)) << name;
  }
}

TEST(PinnsFormer, DecaysMatricesAlone) {
  attn::nn::Context<Exec> ctx;
  attn::models::PinnsFormer<attn::Poly<3, attn::DynamicScale>> const model(ctx, {});
  for (auto const& e : ctx.parameters.entries()) EXPECT_EQ(e.decays, e.shape.size() > 1) << e.name;
}

TEST(PinnsFormer, IsAModule) {
  attn::nn::Context<Exec, double> ctx;
  attn::models::PinnsFormer<attn::Poly<3, attn::DynamicScale>> const model(
      ctx, {.width = 4, .layers = 2, .hidden = 3, .head_hidden = 5, .scale_tokens = 5});
  auto const verdict = attn::testing::check_module(ctx, model, {2, 5, 2});
  EXPECT_TRUE(verdict) << verdict.message();
}

}  // namespace
