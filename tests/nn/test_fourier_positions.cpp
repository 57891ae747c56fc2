#include "attn/nn/fourier_positions.hpp"
#include "attn/testing/check_module.hpp"

#include <numbers>

#include "support.hpp"

namespace {

using namespace attn;
using attn::testing::detail::host_numbers;
using Ctx = nn::Context<attn_test::Exec, double>;

TEST(FourierPositions, AreSinesAndCosinesOfRowAndColumn) {
  Ctx ctx;
  nn::FourierPositions const positions(ctx / "p", {.width = 8, .features = 4});
  auto const& weight = ctx.parameters.entry("p.token_projection.weight");
  EXPECT_EQ(weight.shape, (std::vector<Index>{8, 8, 1, 1}));
  EXPECT_FALSE(weight.decays);
  std::vector<double> unit(64);  // the features themselves
  for (std::size_t i = 0; i < 8; ++i) unit[9 * i] = 1;
  ctx.parameters.assign(weight, std::span<double const>(unit));
  ctx.parameters.assign(ctx.parameters.entry("p.token_projection.bias"),
                        std::span<double const>(std::vector<double>(8)));
  attn_test::Array<double, 4> const zeros({1, 2, 3, 8});
  auto const y = host_numbers(positions.forward(ctx, zeros.tensor()).value);
  double const row = 2 * std::numbers::pi / 2.000001, column = 2 * std::numbers::pi * 3 / 3.000001;
  std::vector<double> const corner = {std::sin(row),          std::cos(row),         std::sin(row / 100),
                                      std::cos(row / 100),    std::sin(column),      std::cos(column),
                                      std::sin(column / 100), std::cos(column / 100)};
  EXPECT_SOUND(attn::testing::allclose(std::vector<double>(y.begin() + 16, y.begin() + 24), corner, 1e-12));
}

TEST(FourierPositions, AreAModuleForMapsOfAnySize) {
  Ctx ctx;
  nn::FourierPositions const positions(ctx / "p", {.width = 5, .features = 6});
  EXPECT_SOUND(attn::testing::check_module(ctx, positions, {3, 2, 3, 5}));
  EXPECT_SOUND(attn::testing::check_module(ctx, positions, {1, 1, 7, 5}));
  Ctx odd;
  EXPECT_NE(attn_test::error_of([&] { nn::FourierPositions(odd, {.width = 5, .features = 3}); }), "");
}

}  // namespace
