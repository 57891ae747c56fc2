#include "attn/nn/class_token.hpp"
#include "attn/testing/check_module.hpp"

#include "support.hpp"

namespace {

using namespace attn;
using Ctx = nn::Context<attn_test::Exec, double>;

TEST(ClassToken, StandsInFrontOfEverySequence) {
  Ctx ctx;
  nn::ClassToken const token(ctx, {.width = 2});
  auto const& entry = ctx.parameters.entry("cls_token");
  EXPECT_EQ(entry.shape, (std::vector<Index>{1, 1, 2}));
  EXPECT_FALSE(entry.decays);
  ctx.parameters.assign(entry, std::span<double const>(std::vector<double>{7, 8}));
  attn_test::Array<double, 3> const x({2, 1, 2}, {1, 2, 3, 4});
  EXPECT_EQ(attn::testing::detail::host_numbers(token.forward(ctx, x.tensor()).value),
            (std::vector<double>{7, 8, 1, 2, 7, 8, 3, 4}));
}

TEST(ClassToken, IsAModuleForAnyNumberOfTokens) {
  Ctx ctx;
  nn::ClassToken const token(ctx, {.width = 19});
  EXPECT_SOUND(attn::testing::check_module(ctx, token, {2, 3, 19}));
  EXPECT_SOUND(attn::testing::check_module(ctx, token, {3, 0, 19}));
  attn_test::Array<double, 3> const wrong({2, 3, 4});
  EXPECT_EQ(attn_test::error_of([&] { token.forward(ctx, wrong.tensor()); }),
            "ClassToken::forward: give a contiguous (B, N, 19) tensor, got width 4");
}

}  // namespace
