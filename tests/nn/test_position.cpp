#include "attn/nn/position.hpp"
#include "attn/testing/check_module.hpp"

#include "support.hpp"

namespace {

using attn::Index;
using attn::nn::ClassTokenAndPositions;
using attn_test::Exec;
template <class T>
using Ctx = attn::nn::Context<Exec, T>;

TEST(ClassTokenAndPositions, IsAModule) {
  for (Index const tokens : {1, 2, 7}) {
    Ctx<double> ctx;
    ClassTokenAndPositions const module(ctx, {.tokens = tokens, .width = 5});
    EXPECT_SOUND(attn::testing::check_module(ctx, module, {3, tokens, 5}));
  }
}

TEST(ClassTokenAndPositions, IsAModuleWithDropout) {
  Ctx<double> ctx;
  ClassTokenAndPositions const module(ctx, {.tokens = 4, .width = 17, .dropout = 0.4});
  EXPECT_SOUND(attn::testing::check_module(ctx, module, {3, 4, 17}, {.noisy = true}));
}

TEST(ClassTokenAndPositions, PutsTheClassTokenFirstAndAddsPositionsToAll) {
  Ctx<double> ctx;
  ClassTokenAndPositions const module(ctx, {.tokens = 2, .width = 2});
  std::vector<double> const token = {10, 20}, positions = {1, 2, 3, 4, 5, 6};
  ctx.parameters.assign(ctx.parameters.entry("cls_token"), std::span<double const>(token));
  ctx.parameters.assign(ctx.parameters.entry("pos_embed"), std::span<double const>(positions));
  attn_test::Array<double, 3> const x({2, 2, 2}, {100, 200, 300, 400, 500, 600, 700, 800});
  auto const y = module.forward(ctx, x.tensor()).value;
  EXPECT_EQ(attn::testing::detail::host_numbers(y),
            (std::vector<double>{11, 22, 103, 204, 305, 406, 11, 22, 503, 604, 705, 806}));
}

TEST(ClassTokenAndPositions, AddsPositionsAloneWhereNoTokenIsLearned) {
  Ctx<double> ctx;
  ClassTokenAndPositions const module(ctx, {.tokens = 3, .width = 2, .prefix = 0});
  EXPECT_SOUND(attn::testing::check_module(ctx, module, {2, 3, 2}));
  EXPECT_EQ(ctx.parameters.entries().size(), 1u);
  std::vector<double> const positions = {1, 2, 3, 4, 5, 6};
  ctx.parameters.assign(ctx.parameters.entry("pos_embed"), std::span<double const>(positions));
  attn_test::Array<double, 3> const x({1, 3, 2}, {10, 20, 30, 40, 50, 60});
  EXPECT_EQ(attn::testing::detail::host_numbers(module.forward(ctx, x.tensor()).value),
            (std::vector<double>{11, 22, 33, 44, 55, 66}));
}

TEST(ClassTokenAndPositions, PutsTheTokenForDistillationSecondAndPositionsWhereTheyAreWanted) {
  for (bool const embeds_prefix : {true, false}) {
    Ctx<double> ctx;
    ClassTokenAndPositions const module(ctx, {.tokens = 3, .width = 2, .prefix = 2, .embeds_prefix = embeds_prefix});
    EXPECT_SOUND(attn::testing::check_module(ctx, module, {2, 3, 2}));
    auto const set = [&](char const* name, std::vector<double> const& values) {
      ctx.parameters.assign(ctx.parameters.entry(name), std::span<double const>(values));
    };
    set("cls_token", {10, 20});
    set("dist_token", {30, 40});
    set("pos_embed",
        embeds_prefix ? std::vector<double>{1, 2, 3, 4, 0, 0, 0, 0, 5, 6} : std::vector<double>{0, 0, 0, 0, 5, 6});
    attn_test::Array<double, 3> const x({1, 3, 2}, {100, 200, 300, 400, 500, 600});
    auto const y = attn::testing::detail::host_numbers(module.forward(ctx, x.tensor()).value);
    EXPECT_EQ(y, embeds_prefix ? (std::vector<double>{11, 22, 33, 44, 100, 200, 300, 400, 505, 606})
                               : (std::vector<double>{10, 20, 30, 40, 100, 200, 300, 400, 505, 606}));
  }
  Ctx<double> ctx;
  EXPECT_EQ(attn_test::error_of([&] { ClassTokenAndPositions(ctx, {.tokens = 3, .width = 2, .prefix = 3}); }),
            "ClassTokenAndPositions: give none, one or two learned tokens, got 3");
}

TEST(ClassTokenAndPositions, WantsItsNumberOfTokens) {
  Ctx<float> ctx;
  ClassTokenAndPositions const module(ctx, {.tokens = 2, .width = 2});
  attn_test::Array<float, 3> const x({1, 3, 2});
  EXPECT_EQ(attn_test::error_of([&] { module.forward(ctx, x.tensor()); }),
            "ClassTokenAndPositions::forward: give a contiguous (B, 2, 2) tensor, got (1, 3, 2)");
}

}  // namespace
