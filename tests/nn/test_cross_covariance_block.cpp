// That its numbers are timm's, tests/models/test_xcit.cpp shows.
#include "attn/activation/poly.hpp"
#include "attn/nn/cross_covariance_block.hpp"
#include "attn/testing/check_module.hpp"

#include "support.hpp"

namespace {

using namespace attn;
using Ctx = nn::Context<attn_test::Exec, double>;
using Block = nn::CrossCovarianceBlock<Poly<3, DynamicScale>>;

TEST(CrossCovarianceBlock, IsAModuleWithStochasticDepth) {
  Ctx ctx(1);
  Block const block(ctx / "b", {.width = 6, .heads = 2, .hidden = 5, .stochastic_depth = 0.3});
  EXPECT_SOUND(attn::testing::check_module(ctx, block, {3, 2, 3, 6}, {.noisy = true}));
}

TEST(CrossCovarianceBlock, TrainedNumbersStartAsForARowOrForSoManyTokens) {
  Ctx ctx;
  Block const row(ctx / "row", {.width = 32, .heads = 2, .hidden = 5}),
      tokens(ctx / "tokens", {.width = 32, .heads = 2, .hidden = 5, .tokens = 196});
  auto const start = [&](std::string const& name) {
    return nn::draw(ctx.parameters.entry(name + ".attn.activation.scale").initializer, {}, 0);
  };
  EXPECT_DOUBLE_EQ(start("row"), 0.25);
  EXPECT_DOUBLE_EQ(start("tokens"), 1.0 / 14);
  EXPECT_TRUE(ctx.parameters.entry("row.attn.temperature").decays);
  EXPECT_FALSE(ctx.parameters.entry("row.gamma3").decays);
}

}  // namespace
