#include "attn/activation/poly.hpp"
#include "attn/nn/sequential.hpp"
#include "attn/nn/sinusoidal_positions.hpp"
#include "attn/nn/stack.hpp"
#include "attn/nn/token_embedding.hpp"
#include "attn/nn/transformer_block.hpp"
#include "attn/testing/check_module.hpp"

#include "support.hpp"

namespace {

using namespace attn;
using attn::testing::detail::host_numbers;
using Ctx = nn::Context<attn_test::Exec, double>;
using Ids = attn_test::Array<int, 2>;
using Block = nn::TransformerBlock<nn::MultiHeadAttention<Poly<3>, Causal>, nn::Mlp<nn::Gelu>>;

/// A language model whose output shares the weight of its embedding: ids (B, N) -> logits (B, N, 7) of the next token.
auto language_model(nn::Builder const& builder) {
  nn::TokenEmbedding const tokens(builder / "tokens", {.vocabulary = 7, .width = 6});
  return nn::Sequential{
      tokens, nn::SinusoidalPositions(),
      nn::Stack<Block>(builder / "blocks", 2, {.width = 6, .heads = 2, .hidden = 5, .initial = nn::normal(0.3)}),
      tokens.output_layer()};
}

TEST(TokenEmbedding, TiedToTheOutputLayerSumsTheGradientsOfBothUses) {
  Ctx ctx;
  auto const model = language_model(ctx);
  Ids const ids({2, 4}, {0, 3, 3, 6, 1, 2, 3, 0});
  EXPECT_SOUND(attn::testing::check_module(ctx, model, Tensor<int const, 2, attn_test::Memory>(ids.tensor())));
  EXPECT_EQ(ctx.parameters.entries().size(), 1 + 2 * 12);
  EXPECT_EQ(ctx.parameters.entry("tokens.weight").shape, (std::vector<Index>{7, 6}));
}

TEST(TokenEmbedding, InACausalModelNoOutputDependsOnLaterTokens) {
  Ctx ctx;
  auto const model = language_model(ctx);
  auto const logits = [&](std::vector<double> const& ids) {
    return host_numbers(model.forward(ctx, Ids({1, 5}, ids).tensor()).value);
  };
  auto const before = logits({1, 2, 3, 4, 5}), after = logits({1, 2, 3, 0, 6});
  auto const part = [](std::vector<double> const& all, Index first, Index last) {
    return std::vector(all.begin() + 7 * first, all.begin() + 7 * last);
  };
  EXPECT_EQ(part(before, 0, 3), part(after, 0, 3));
  EXPECT_NE(part(before, 3, 4), part(after, 3, 4));
  EXPECT_NE(part(before, 4, 5), part(after, 4, 5));
}

TEST(TokenEmbedding, LooksUpRowsAndRefusesOthers) {
  Ctx ctx;
  nn::TokenEmbedding const embedding(ctx / "e", {.vocabulary = 3, .width = 2});
  std::vector<double> const table{0, 1, 10, 11, 20, 21};
  ctx.parameters.assign(ctx.parameters.entry("e.weight"), std::span<double const>(table));
  EXPECT_EQ(host_numbers(embedding.forward(ctx, Ids({1, 3}, {2, 0, 2}).tensor()).value),
            (std::vector<double>{20, 21, 0, 1, 20, 21}));
  EXPECT_EQ(embedding.forward(ctx, Ids({2, 0}).tensor()).value.size(), 0);
  for (int const id : {-1, 3}) {
    EXPECT_EQ(attn_test::error_of([&] {
                embedding.forward(ctx, Ids({1, 2}, {0, double(id)}).tensor());
              }),
              "TokenEmbedding::forward: give ids from 0 to 2, got " + std::to_string(id));
  }
}

}  // namespace
