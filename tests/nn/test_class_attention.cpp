// That its numbers are timm's, tests/models/test_xcit.cpp shows.
#include "attn/activation/poly.hpp"
#include "attn/nn/class_attention.hpp"
#include "attn/testing/check_module.hpp"

#include "support.hpp"

namespace {

using namespace attn;
using attn::testing::detail::host_numbers;
using Ctx = nn::Context<attn_test::Exec, double>;
using Block = nn::ClassAttentionBlock<Poly<3, DynamicScale>>;

TEST(ClassAttentionBlock, IsAModuleThatNormalisesAllTokensOrOne) {
  for (bool const all : {true, false}) {
    Ctx ctx;
    Block const block(ctx / "b", {.width = 6, .heads = 2, .hidden = 5, .tokens = 4, .tokens_norm = all});
    EXPECT_SOUND(attn::testing::check_module(ctx, block, {2, 4, 6}));
    EXPECT_SOUND(attn::testing::check_module(ctx, block, {1, 1, 6}));
  }
}

TEST(ClassAttentionBlock, OtherTokensSeeOnlyTheirNormAndDouble) {
  Ctx ctx;
  Block const block(ctx / "b", {.width = 4, .heads = 1, .hidden = 5, .layer_scale = 0, .tokens_norm = false});
  auto const x = attn_test::random_array<double, 3>({1, 3, 4}, 1);
  auto const forward = block.forward(ctx, x.tensor());
  auto const y = host_numbers(forward.value), of_x = host_numbers(x.tensor());
  for (std::size_t i = 4; i < 12; ++i) EXPECT_EQ(y[i], 2 * of_x[i]);
  auto const weights = block.attention().weights(ctx, Block::attention_tape(forward.tape), 0);
  EXPECT_EQ(weights.extents(), (Extents<3>{1, 1, 3}));
}

TEST(ClassAttentionBlock, WantsAClassToken) {
  Ctx ctx;
  Block const block(ctx / "b", {.width = 4, .heads = 1, .hidden = 5});
  attn_test::Array<double, 3> const none({2, 0, 4});
  EXPECT_EQ(attn_test::error_of([&] { block.forward(ctx, none.tensor()); }),
            "ClassAttentionBlock::forward: give a contiguous (B, N, C) tensor with a class token in front, got (2, 0, "
            "4)");
}

}  // namespace
