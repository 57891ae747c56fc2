#include "attn/activation/softmax.hpp"
#include "attn/nn/sequence_block.hpp"
#include "attn/testing/check_module.hpp"

#include "nn/packed_batch.hpp"
#include "support.hpp"

namespace {

using namespace attn;
using Ctx = nn::Context<attn_test::Exec, double>;
using Block = nn::SequenceBlock<nn::SequenceAttention<Softmax>>;

TEST(SequenceBlock, IsAModuleOnPackedSequences) {
  attn::testing::PackedBatch const batch({{1, 1, 0, 1}, {0, 0, 0, 0}, {1, 1, 0, 0}}, 4);
  Ctx plain, noisy;
  nn::WithSequences const a(plain, {.packed = batch.sequences}), b(noisy, {.packed = batch.sequences});
  Block const block(plain / "block", {.hidden = 7, .attention = {.width = 6, .heads = 2, .tokens = 4}});
  EXPECT_SOUND(attn::testing::check_module(plain, block, {1, 5, 6}));
  Block const dropping(noisy / "block",
                       {.hidden = 7, .dropout = 0.3, .attention = {.width = 6, .heads = 2, .tokens = 4}});
  EXPECT_SOUND(attn::testing::check_module(noisy, dropping, {1, 5, 6}, {.noisy = true}));
}

TEST(SequenceBlock, RegistersThePublishedNamesInTheirOrder) {
  Ctx ctx;
  Block const block(ctx, {.hidden = 7, .attention = {.width = 6, .heads = 2, .tokens = 4}});
  std::string names;
  for (auto const& e : ctx.parameters.entries()) names += e.name + " ";
  EXPECT_EQ(names,
            "norm1.weight norm1.bias mha.W_q.weight mha.W_q.bias mha.W_k.weight mha.W_k.bias mha.W_v.weight "
            "mha.W_v.bias mha.ff.weight mha.ff.bias norm2.weight norm2.bias mlpblock.0.weight mlpblock.0.bias "
            "mlpblock.3.weight mlpblock.3.bias ");
}

}  // namespace
