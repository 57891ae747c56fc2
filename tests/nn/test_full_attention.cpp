#include "attn/activation/softmax.hpp"
#include "attn/nn/attention.hpp"
#include "attn/nn/full_attention.hpp"
#include "attn/nn/mlp.hpp"
#include "attn/nn/stack.hpp"
#include "attn/nn/transformer_block.hpp"
#include "attn/testing/check_module.hpp"

#include "nn/packed_batch.hpp"
#include "support.hpp"

namespace {

using namespace attn;
using attn::testing::on_device;
using attn::testing::on_host;
using attn::testing::PackedBatch;
using attn_test::Exec;
using nn::FullAttention;
template <class T>
using Ctx = nn::Context<Exec, T>;
template <class Projections, class M = Full>
using With = nn::Attention<Projections, FullAttention<Softmax, M>>;

TEST(FullAttention, LengthsComeWithTheCallThroughBlocksAndStacks) {
  using Block = nn::TransformerBlock<With<nn::FusedQkv, KeyPadding>, nn::Mlp<nn::Gelu>>;
  Ctx<double> ctx(1);
  std::vector<Block> blocks;
  for (Index i = 0; i < 2; ++i)
    blocks.emplace_back(ctx / "blocks" / i, Block::Config{.width = 6, .heads = 2, .hidden = 7});
  nn::Stack<Block> const stack(blocks);
  auto const lengths = on_device(std::vector<int>{5, 2, 3});
  nn::WithSequences const padded(ctx, {.lengths = lengths});
  EXPECT_SOUND(attn::testing::check_module(ctx, stack, {3, 5, 6}));

  // What is behind the end does not matter, and two tokens alone give the same.
  auto const x = attn_test::random_array<double, 3>({3, 5, 6}, 1);
  auto const all = on_host(stack.forward(ctx, x.tensor()).value);
  auto const two = on_device(std::vector<int>{2});
  nn::WithSequences const alone(ctx, {.lengths = two});
  auto const second = on_host(stack.forward(ctx, x.tensor().slice(0, 1, 2).slice(1, 0, 2)).value);
  EXPECT_SOUND(attn::testing::allclose(std::vector<double>(all.begin() + 30, all.begin() + 42), second, 1e-13));
}

TEST(FullAttention, OfPackedSequencesIsThatOfPaddedOnes) {
  Ctx<double> padded(1), packed(1);
  With<nn::FusedQkv, KeyPadding> const a(padded / "attn", {.width = 6, .heads = 2});
  nn::Attention<nn::FusedQkv, nn::SequenceAttention<Softmax>> const b(packed / "attn",
                                                                      {.width = 6, .heads = 2, .tokens = 4});
  PackedBatch const batch({{1, 1, 0, 0}, {1, 1, 1, 1}, {1, 0, 0, 0}}, 4);
  nn::WithSequences const sequences(packed, {.packed = batch.sequences});
  EXPECT_SOUND(attn::testing::check_module(packed, b, {1, 7, 6}));
  for (auto const& e : packed.parameters.entries()) {
    auto const values = packed.parameters.host_values(e);
    padded.parameters.assign(padded.parameters.entry(e.name), std::span<double const>(values));
  }

  auto const lengths = on_device(std::vector<int>{2, 4, 1});
  nn::WithSequences const with_lengths(padded, {.lengths = lengths});
  auto const x = attn_test::random_array<double, 3>({3, 4, 6}, 1);
  auto const numbers = x.numbers();
  auto const all = on_host(a.forward(padded, x.tensor()).value);
  std::vector<double> rows, expected;
  for (std::size_t const row : {0, 1, 4, 5, 6, 7, 8}) {
    for (std::size_t c = 0; c < 6; ++c) rows.push_back(numbers[row * 6 + c]), expected.push_back(all[row * 6 + c]);
  }
  auto const there = on_device(rows);
  nn::TensorOf<Ctx<double>, 3> const tokens(there.data(), {1, 7, 6});
  EXPECT_SOUND(attn::testing::allclose(on_host(b.forward(packed, tokens).value), expected, 1e-13));
}

TEST(FullAttention, NormsAndWeightsAreThoseOfTheMask) {
  using Both = attn::Both<Causal, KeyPadding>;
  Ctx<double> ctx(1);
  With<nn::PackedProjections, Both> const attention(ctx / "attn", {.width = 6, .heads = 2});
  auto const lengths = on_device(std::vector<int>{5, 2});
  nn::WithSequences const padded(ctx, {.lengths = lengths});
  auto const x = attn_test::random_array<double, 3>({2, 5, 6}, 1);
  auto const forward = attention.forward(ctx, x.tensor());
  auto const norms = on_host(attention.norms(ctx, forward.tape).frobenius);
  auto const w = on_host(attention.weights(ctx, forward.tape, 1));  // (2, 5, 5)
  for (std::size_t head = 0; head < 2; ++head) {
    double squares = 0;
    for (std::size_t i = 0; i < 5; ++i) {
      for (std::size_t j = 0; j < 5; ++j) {
        double const weight = w[(head * 5 + i) * 5 + j];
        squares += weight * weight;
        EXPECT_EQ(weight != 0, j <= i && j < 2) << i << " " << j;
      }
    }
    EXPECT_NEAR(norms[2 + head], squares, 1e-12);
  }
}

TEST(FullAttention, DropsWeightsInTrainingAlone_AndTheSameInBothPasses) {
  Ctx<double> ctx(1), plain(1);
  using Dropping = nn::Attention<nn::FusedQkv, FullAttention<Softmax, Full, AttentionDropout>>;
  Dropping const attention(ctx / "attn", {.width = 6, .heads = 2, .attention_dropout = 0.4});
  With<nn::FusedQkv> const without(plain / "attn", {.width = 6, .heads = 2});
  auto const x = attn_test::random_array<double, 3>({2, 5, 6}, 1);
  auto const y = [&](auto& c, auto const& module) { return on_host(module.forward(c, x.tensor()).value); };
  ctx.step = 7;
  auto const once = y(ctx, attention);
  EXPECT_EQ(once, y(ctx, attention)) << "a step that is resumed draws the same";
  {
    nn::StepThere const step_there(ctx);
    EXPECT_EQ(once, y(ctx, attention)) << "and so does one whose number lies in memory";
  }
  auto const forward = attention.forward(ctx, x.tensor());
  auto const w = on_host(attention.weights(ctx, forward.tape, 1));
  for (double const weight : w) EXPECT_GT(weight, 0) << "weights are those before any is dropped";
  ctx.step = 8;
  EXPECT_NE(once, y(ctx, attention));
  ctx.training = false;
  EXPECT_EQ(y(ctx, attention), y(plain, without));
  ctx.training = true;
  EXPECT_SOUND(attn::testing::check_module(ctx, attention, {2, 5, 6}, {.noisy = true}));
}

TEST(FullAttention, SaysThatItDropsNoWeights) {
  Ctx<float> ctx;
  auto const error = attn_test::error_of(
      [&] { With<nn::FusedQkv> const full(ctx / "a", {.width = 6, .heads = 2, .attention_dropout = 0.1}); });
  EXPECT_EQ(error,
            "Attention: for an attention_dropout of 0.1 write a core that drops weights, attn::nn::FullAttention<A, "
            "Mask, attn::AttentionDropout>");
}

TEST(FullAttention, SaysWhatACallLacks) {
  Ctx<float> ctx;
  auto const x = attn_test::random_array<float, 3>({2, 5, 6}, 1);
  auto const lengths = on_device(std::vector<int>{5, 2}), three = on_device(std::vector<int>{1, 1, 1});
  PackedBatch const batch({{1, 1, 0, 0}, {1, 1, 1, 1}}, 4);
  With<nn::FusedQkv> const full(ctx / "a", {.width = 6, .heads = 2});
  With<nn::FusedQkv, KeyPadding> const padded(ctx / "b", {.width = 6, .heads = 2});
  nn::Attention<nn::FusedQkv, nn::SequenceAttention<Softmax>> const packed(ctx / "c", {.width = 6, .heads = 2});
  auto const error = [&](auto const& module) { return attn_test::error_of([&] { module.forward(ctx, x.tensor()); }); };
  EXPECT_EQ(error(padded),
            "KeyPadding: give the lengths of the sequences with the call: attn::nn::WithSequences const "
            "padded(ctx, {.lengths = lengths})");
  EXPECT_EQ(error(packed),
            "Attention::forward: give packed sequences with the call: attn::nn::WithSequences const "
            "packed(ctx, {.packed = sequences})");
  {
    nn::WithSequences const with(ctx, {.lengths = lengths});
    EXPECT_EQ(error(padded), "");
    EXPECT_EQ(error(full),
              "Attention::forward: write attn::KeyPadding, or attn::Both<..., attn::KeyPadding>, as the "
              "mask of attention to sequences with lengths");
  }
  {
    nn::WithSequences const with(ctx, {.lengths = three});
    EXPECT_EQ(error(padded), "Attention::forward: give 2 lengths, one for each sequence, got 3");
  }
  nn::WithSequences const with(ctx, {.packed = batch.sequences});
  EXPECT_EQ(error(full),
            "Attention::forward: attend to packed sequences with attn::nn::SequenceAttention or "
            "attn::nn::NystromAttention");
  EXPECT_EQ(error(packed),
            "Attention::forward: give the 6 rows of sequences of at most 1 positions as one sample, got "
            "(2, 5, .) and sequences of 4");
}

}  // namespace
