#include "attn/activation/poly.hpp"
#include "attn/nn/attention.hpp"
#include "attn/nn/rotary.hpp"
#include "attn/testing/check_module.hpp"

#include "nn/packed_batch.hpp"
#include "support.hpp"

namespace {

using namespace attn;
using attn::testing::on_host;
using Ctx = nn::Context<attn_test::Exec, double>;
using Core = nn::Rotary<nn::FullAttention<Poly<3, DynamicScale>, Causal>>;
using Layer = nn::Attention<nn::FusedQkv, Core>;

TEST(Rotary, IsACoreOfAttention) {
  for (Index const tokens : {1, 5}) {
    Ctx ctx(1);
    Layer const layer(ctx, {.width = 12, .heads = 2, .tokens = tokens});
    EXPECT_SOUND(attn::testing::check_module(ctx, layer, {2, tokens, 12}));
  }
}

/// Of equal tokens, the weight of key j for query i depends on i - j alone.
TEST(Rotary, ScoresDependOnTheDistanceOfTokens) {
  Ctx ctx(1);
  constexpr Index n = 6, c = 12;
  Layer const layer(ctx, {.width = c, .heads = 2, .tokens = n, .initial = nn::normal(0.5)});
  auto const token = attn_test::random_numbers(c, 2);
  std::vector<double> tokens;
  for (Index i = 0; i < n; ++i) tokens.insert(tokens.end(), token.begin(), token.end());
  attn_test::Array<double, 3> const x({1, n, c}, tokens);
  auto const [y, tape] = layer.forward(ctx, x.tensor());
  auto const w = on_host(layer.weights(ctx, tape, 0));
  auto const weight = [&](Index h, Index i, Index j) { return w[std::size_t((h * n + i) * n + j)]; };
  for (Index h = 0; h < 2; ++h) {
    double changes = 0;
    for (Index distance = 0; distance + 1 < n; ++distance) {
      for (Index i = distance + 1; i < n; ++i) {
        EXPECT_NEAR(weight(h, i, i - distance), weight(h, distance, 0), 1e-12);
      }
      changes += std::abs(weight(h, n - 1, n - 1 - distance) - weight(h, n - 1, n - 1));
    }
    EXPECT_GT(changes, 1e-3);
  }
}

/// The first token is not turned, and one pair of the last head by hand.
TEST(Rotary, TurnsPairsOfEachHead) {
  Ctx ctx(1);
  constexpr Index c = 8;
  Core const core(ctx / "rotary", {.width = c, .heads = 2, .tokens = 2}, {.base = 100});
  auto const q = attn_test::random_array<double, 3>({1, 2, c}, 3);
  auto const [y, tape] = core.forward(ctx, Causal{}, q.tensor(), q.tensor(), q.tensor());
  auto const from = on_host(q.tensor()), to = on_host(tape.q);
  for (std::size_t i = 0; i < c; ++i) EXPECT_EQ(to[i], from[i]);
  double const angle = std::pow(100.0, -1.0 / 2);  // pair 1 of 2, at position 1
  EXPECT_NEAR(to[c + 5], from[c + 5] * std::cos(angle) - from[c + 7] * std::sin(angle), 1e-14);
  EXPECT_NEAR(to[c + 7], from[c + 5] * std::sin(angle) + from[c + 7] * std::cos(angle), 1e-14);
}

TEST(Rotary, RefusesHeadsOfOddWidth) {
  Ctx ctx;
  EXPECT_EQ(attn_test::error_of([&] { Layer(ctx, {.width = 6, .heads = 2}); }),
            "Rotary: give heads of an even width, got width 6 and 2 heads");
}

}  // namespace
