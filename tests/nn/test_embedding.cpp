#include "attn/nn/embedding.hpp"
#include "attn/testing/check_module.hpp"

#include "nn/packed_batch.hpp"
#include "support.hpp"

namespace {

using namespace attn;
using attn::testing::PackedBatch;
using Ctx = nn::Context<attn_test::Exec, double>;

TEST(SequenceEmbedding, IsAModuleOfPackedTokens) {
  PackedBatch const batch({{1, 2, 0, 3}, {0, 0, 0, 0}, {2, 2, 0, 0}}, 4);
  Ctx plain, noisy;
  nn::SequenceEmbedding const embedding(plain / "e", {.vocabulary = 5, .positions = 6, .width = 3});
  auto const tokens = std::pair(batch.sequences, batch.ids);
  EXPECT_SOUND(attn::testing::check_module(plain, embedding, tokens));
  nn::SequenceEmbedding const dropping(noisy / "e", {.vocabulary = 5, .positions = 6, .width = 17, .dropout = 0.4});
  EXPECT_SOUND(attn::testing::check_module(noisy, dropping, tokens, {.noisy = true}));
}

TEST(SequenceEmbedding, AddsTheVectorsOfTheWordAndOfItsPlace) {
  Ctx ctx;
  nn::SequenceEmbedding const embedding(ctx, {.vocabulary = 4, .positions = 3, .width = 1});
  auto const set = [&](char const* name, std::vector<double> const& values) {
    ctx.parameters.assign(ctx.parameters.entry(name), std::span<double const>(values));
  };
  set("word_embeddings.weight", {0, 10, 20, 30});
  set("position_embeddings.weight", {1, 2, 3});
  PackedBatch const batch({{0, 3, 1}, {2, 0, 0}}, 3);
  EXPECT_EQ(attn::testing::detail::host_numbers(embedding.forward(ctx, batch.sequences, batch.ids).value),
            (std::vector<double>{32, 13, 21}));
}

TEST(SequenceEmbedding, WantsAsManyIdsAsRowsAndAPositionForEach) {
  Ctx ctx;
  nn::SequenceEmbedding const embedding(ctx, {.vocabulary = 4, .positions = 2, .width = 1});
  PackedBatch const batch({{1, 1, 1}}, 3);
  EXPECT_EQ(attn_test::error_of([&] { embedding.forward(ctx, batch.sequences, batch.ids); }),
            "SequenceEmbedding::forward: give 3 ids and at most 2 positions, got 3 and 3");
}

}  // namespace
