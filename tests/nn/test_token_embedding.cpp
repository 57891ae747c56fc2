// In a language model: tests/nn/test_decoder_block.cpp.
#include "attn/nn/function.hpp"
#include "attn/nn/sequential.hpp"
#include "attn/nn/token_embedding.hpp"
#include "attn/testing/check_module.hpp"

#include "support.hpp"

namespace {

using namespace attn;
using attn::testing::detail::host_numbers;
using Ctx = nn::Context<attn_test::Exec, double>;
using Ids = attn_test::Array<int, 2>;

TEST(TokenEmbedding, TiedToTheOutputLayer_SumsTheGradientsOfBothUses) {
  Ctx ctx;
  nn::TokenEmbedding const tokens(ctx / "tokens", {.vocabulary = 7, .width = 3});
  nn::Sequential const model{tokens, nn::Pointwise<nn::Tanh>(), tokens.output_layer()};
  Ids const ids({2, 4}, {0, 3, 3, 6, 1, 2, 3, 0});
  EXPECT_SOUND(attn::testing::check_module(ctx, model, Tensor<int const, 2, attn_test::Memory>(ids.tensor())));
  EXPECT_EQ(ctx.parameters.entries().size(), 1u);
  EXPECT_EQ(ctx.parameters.entry("tokens.weight").shape, (std::vector<Index>{7, 3}));
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
