#include "attn/nn/dropout.hpp"
#include "attn/testing/check_module.hpp"

#include "support.hpp"

namespace {

using attn::Index;
using attn::nn::Dropout;
using attn::nn::StochasticDepth;
using attn_test::Exec;
template <class T>
using Ctx = attn::nn::Context<Exec, T>;

std::vector<double> dropped(Ctx<float>& ctx, Dropout const& dropout, Index n) {
  attn_test::Array<float, 1> const x({n}, std::vector<double>(std::size_t(n), 1.0));
  ctx.begin_step();
  return attn::testing::detail::host_numbers(dropout.forward(ctx, x.tensor()).value);
}

TEST(Dropout, IsAModule) {
  Ctx<double> ctx(3);
  Dropout const dropout(ctx / "drop", 0.4);
  EXPECT_SOUND(attn::testing::check_module(ctx, dropout, {3, 17}, {.noisy = true}));
}

TEST(Dropout, KeepsTheExpectedShareAndTheMean) {
  Ctx<float> ctx(1);
  Index const n = 50'001;
  auto const y = dropped(ctx, Dropout(ctx / "drop", 0.3), n);
  Index zeros = 0;
  for (double const v : y) {
    if (v == 0) {
      ++zeros;
    } else {
      EXPECT_EQ(v, double(1.0f / 0.7f));
    }
  }
  EXPECT_NEAR(double(zeros) / double(n), 0.3, 5 * std::sqrt(0.21 / double(n)));
}

TEST(Dropout, DrawsBySeedStepAndSite) {
  Ctx<float> ctx(1), same(1), other(2);
  Dropout const a(ctx / "a", 0.5), b(ctx / "b", 0.5);
  auto const first = dropped(ctx, a, 100);
  EXPECT_EQ(dropped(ctx, a, 100), first);
  EXPECT_EQ(dropped(same, a, 100), first);
  EXPECT_NE(dropped(ctx, b, 100), first);
  EXPECT_NE(dropped(other, a, 100), first);
  ++ctx.step;
  EXPECT_NE(dropped(ctx, a, 100), first);
  --ctx.step;
  EXPECT_EQ(dropped(ctx, a, 100), first);
}

TEST(Dropout, DoesNothingInEvaluationOrAtRateZero) {
  Ctx<float> ctx(1);
  attn_test::Array<float, 1> const x({5}, {1, 2, 3, 4, 5});
  EXPECT_EQ(Dropout(ctx / "a", 0).forward(ctx, x.tensor()).value.data(), x.tensor().data());
  ctx.training = false;
  ctx.keep_tape = true;
  EXPECT_EQ(Dropout(ctx / "a", 0.5).forward(ctx, x.tensor()).value.data(), x.tensor().data());
}

TEST(Dropout, WantsARateBelowOne) {
  Ctx<float> ctx;
  EXPECT_EQ(attn_test::error_of([&] { Dropout(ctx / "a", 1.0); }), "Dropout: give a rate from 0 to less than 1, got 1");
  EXPECT_NE(attn_test::error_of([&] { StochasticDepth(ctx / "a", -0.1); }), "");
  EXPECT_NE(attn_test::error_of([&] { Dropout(ctx / "a", std::nan("")); }), "");
}

TEST(StochasticDepth, LeavesOutWholeSamplesAndKeepsTheMean) {
  Ctx<float> ctx(5);
  StochasticDepth const depth(ctx / "drop_path", 0.25);
  Index const n = 20'000;
  auto const factors = attn::testing::detail::host_numbers(depth.factors(ctx, n));
  double sum = 0;
  for (double const f : factors) {
    EXPECT_TRUE(f == 0 || f == double(1 / 0.75f)) << f;
    sum += f;
  }
  EXPECT_NEAR(sum / double(n), 1, 0.025);
  ctx.training = false;
  EXPECT_EQ(depth.factors(ctx, n).data(), nullptr);
}

}  // namespace
