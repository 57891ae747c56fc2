#include "attn/nn/sinusoidal_positions.hpp"
#include "attn/testing/check_module.hpp"

#include "support.hpp"

namespace {

using attn::Index;
using attn::nn::SinusoidalPositions;
using Ctx = attn::nn::Context<attn_test::Exec, double>;

TEST(SinusoidalPositions, IsAModuleForSequencesOfAnyLength) {
  SinusoidalPositions const module;
  for (Index const tokens : {0, 1, 7}) {
    Ctx ctx;
    EXPECT_SOUND(attn::testing::check_module(ctx, module, {2, tokens, 17}));
    EXPECT_TRUE(ctx.parameters.entries().empty());
  }
}

TEST(SinusoidalPositions, AreThoseOfThePaper) {
  Ctx ctx;
  constexpr Index tokens = 5, width = 6;
  attn_test::Array<double, 3> const x({2, tokens, width}, std::vector<double>(2 * tokens * width, 1.0));
  auto const y = attn::testing::detail::host_numbers(SinusoidalPositions().forward(ctx, x.tensor()).value);
  for (Index at = 0; at < Index(y.size()); ++at) {
    Index const column = at % width, position = at / width % tokens;
    double const angle = double(position) * std::pow(10000.0, -double(column / 2 * 2) / width);
    EXPECT_NEAR(y[std::size_t(at)], 1 + (column % 2 == 0 ? std::sin(angle) : std::cos(angle)), 1e-14);
  }
  EXPECT_EQ(attn_test::error_of([] { SinusoidalPositions({.base = 1}); }),
            "SinusoidalPositions: give a base above 1, got 1");
}

}  // namespace
