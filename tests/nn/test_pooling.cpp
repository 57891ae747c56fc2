#include "attn/nn/pooling.hpp"
#include "attn/testing/check_module.hpp"

#include "support.hpp"

namespace {

using attn::nn::Pooled;
using attn::nn::Pooling;
using attn_test::Exec;
template <class T>
using Ctx = attn::nn::Context<Exec, T>;

TEST(Pooling, IsAModule) {
  for (Pooled const pooled : {Pooled::class_token, Pooled::mean}) {
    Ctx<double> ctx;
    EXPECT_SOUND(attn::testing::check_module(ctx, Pooling(pooled), {3, 2, 5}));
    EXPECT_SOUND(attn::testing::check_module(ctx, Pooling(pooled), {2, 7, 17}));
    EXPECT_SOUND(attn::testing::check_module(ctx, Pooling(pooled, 2), {2, 7, 3}));
  }
}

TEST(Pooling, TakesTheClassTokenOrTheMeanOfTheOthers) {
  Ctx<double> ctx;
  attn_test::Array<double, 3> const x({2, 3, 1}, {1, 2, 4, 8, 16, 32});
  EXPECT_EQ(attn::testing::detail::host_numbers(Pooling(Pooled::class_token).forward(ctx, x.tensor()).value),
            (std::vector<double>{1, 8}));
  EXPECT_EQ(attn::testing::detail::host_numbers(Pooling(Pooled::mean).forward(ctx, x.tensor()).value),
            (std::vector<double>{3, 24}));
  EXPECT_EQ(attn::testing::detail::host_numbers(Pooling(Pooled::class_token, 2).forward(ctx, x.tensor()).value),
            (std::vector<double>{1, 2, 8, 16}));
}

TEST(Pooling, TakesTheMeanOfAllTokensThatAreNoPadding) {
  Ctx<double> ctx;
  Pooling const pooling(Pooled::mean, 0);
  attn_test::Array<double, 3> const x({3, 2, 1}, {1, 3, 8, 16, 5, 7});
  auto const mean = [&] { return attn::testing::detail::host_numbers(pooling.forward(ctx, x.tensor()).value); };
  EXPECT_EQ(mean(), (std::vector<double>{2, 12, 6}));
  attn_test::Array<int, 1> const lengths({3}, {1, 2, 0});
  attn::nn::WithSequences const padded(ctx, {.lengths = lengths});
  EXPECT_EQ(mean(), (std::vector<double>{1, 12, 0}));
  EXPECT_SOUND(attn::testing::check_module(ctx, pooling, {3, 2, 3}));
  attn_test::Array<double, 3> const four({4, 2, 1});
  EXPECT_EQ(attn_test::error_of([&] { pooling.forward(ctx, four.tensor()); }),
            "Pooling::forward: give 4 lengths, one for each sequence, got 3");
}

TEST(Pooling, WantsTokens) {
  Ctx<float> ctx;
  attn_test::Array<float, 3> const one({2, 1, 3}), none({2, 0, 3});
  EXPECT_EQ(attn_test::error_of([&] { Pooling(Pooled::mean).forward(ctx, one.tensor()); }),
            "Pooling::forward: give a contiguous (B, N, C) tensor of at least 2 tokens, got 1");
  EXPECT_NE(attn_test::error_of([&] { Pooling(Pooled::class_token).forward(ctx, none.tensor()); }), "");
}

}  // namespace
