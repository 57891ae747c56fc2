#include "attn/activation/softmax.hpp"
#include "attn/io/safetensors.hpp"
#include "attn/nn/decoder_block.hpp"
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
using attn_test::golden;
using attn_test::golden_array;
using Ctx = nn::Context<attn_test::Exec, double>;
using Block = nn::DecoderBlock<nn::PackedAttention<Softmax, Causal>, nn::PackedAttention<Softmax, KeyPadding>>;
using Blocks = nn::Stack<Block>;
using Pair = nn::CrossOf<Ctx>;

Block::Config const config{.width = 6, .heads = 2, .hidden = 5, .initial = nn::normal(0.4)};

TEST(DecoderBlock, IsAModuleOfAPairOfSequences) {
  attn_test::Array<int, 1> const lengths({2}, {4, 1});
  Ctx ctx;
  nn::WithSequences const padded(ctx, {.memory_lengths = lengths});
  EXPECT_SOUND(attn::testing::check_module(ctx, Blocks(ctx / "layers", 2, config),
                                           Pair{{nullptr, {2, 3, 6}}, {nullptr, {2, 4, 6}}}));
}

TEST(DecoderBlock, HasTheNumbersOfPyTorch) {
  Ctx ctx;
  Blocks const blocks(ctx / "layers", 2, config);
  io::Safetensors const parameters(attn_test::golden_path("decoder/parameters.safetensors"));
  io::Safetensors const gradients(attn_test::golden_path("decoder/gradients.safetensors"));
  ASSERT_EQ(parameters.tensors().size(), ctx.parameters.entries().size());
  for (auto const& entry : ctx.parameters.entries()) {
    auto const values = parameters.array(entry.name).as<double>();
    ctx.parameters.assign(entry, std::span<double const>(values));
  }
  auto const x = golden_array<double, 3>("decoder/x"), memory = golden_array<double, 3>("decoder/memory"),
             d_y = golden_array<double, 3>("decoder/d_y");
  attn_test::Array<double, 3> const nothing({2, 4, 6});
  attn_test::Array<int, 1> const lengths({2}, {4, 2});
  nn::WithSequences const padded(ctx, {.memory_lengths = lengths});

  auto [y, tape] = blocks.forward(ctx, Pair{x.tensor(), memory.tensor()});
  EXPECT_SOUND(attn::testing::allclose(host_numbers(y.x), golden("decoder/y"), 2e-6));
  auto const d = blocks.backward(ctx, std::move(tape), Pair{d_y.tensor(), nothing.tensor()});
  EXPECT_SOUND(attn::testing::allclose(host_numbers(d.x), golden("decoder/d_x"), 2e-6));
  EXPECT_SOUND(attn::testing::allclose(host_numbers(d.memory), golden("decoder/d_memory"), 2e-6));
  for (auto const& entry : ctx.parameters.entries()) {
    EXPECT_SOUND(
        attn::testing::allclose(ctx.parameters.host_gradients(entry), gradients.array(entry.name).as<double>(), 2e-5)
            .about(entry.name));
  }
}

TEST(DecoderBlock, HidesLaterTokensAndThePaddingOfTheMemory) {
  Ctx ctx;
  Blocks const blocks(ctx / "layers", 2, config);
  attn_test::Array<int, 1> const lengths({1}, {3});
  nn::WithSequences const padded(ctx, {.memory_lengths = lengths});
  auto const outputs = [&](double last_token, double padding) {
    auto x = attn_test::random_numbers(30, 1), memory = attn_test::random_numbers(24, 2);
    std::fill(x.end() - 6, x.end(), last_token);
    std::fill(memory.end() - 6, memory.end(), padding);
    attn_test::Array<double, 3> const of_x({1, 5, 6}, x), of_memory({1, 4, 6}, memory);
    auto y = host_numbers(blocks.forward(ctx, Pair{of_x.tensor(), of_memory.tensor()}).value.x);
    y.resize(24);  // of the tokens before the last
    return y;
  };
  EXPECT_EQ(outputs(1, 2), outputs(-3, 5));
}

TEST(DecoderBlock, WantsATapeThatWasKept) {
  Ctx ctx;
  Block const block(ctx, config);
  attn_test::Array<double, 3> const x({1, 2, 6}), memory({1, 3, 6});
  attn_test::Array<int, 1> const lengths({1}, {3});
  nn::WithSequences const padded(ctx, {.memory_lengths = lengths});
  ctx.training = false;
  auto forward = block.forward(ctx, Pair{x.tensor(), memory.tensor()});
  EXPECT_EQ(
      attn_test::error_of([&] { block.backward(ctx, std::move(forward.tape), forward.value); }),
      "DecoderBlock::backward: run forward with ctx.training or ctx.keep_tape switched on, and use each tape once");
}

/// A decoder without a memory: ids (B, N) -> logits (B, N, 7) of the next token, with one weight at both ends.
using CausalBlock = nn::TransformerBlock<nn::PackedAttention<Softmax, Causal>, nn::Mlp<nn::Gelu>>;
auto language_model(nn::Builder const& builder) {
  nn::TokenEmbedding const tokens(builder / "tokens", {.vocabulary = 7, .width = 6, .initial = nn::normal(1)});
  nn::Stack<CausalBlock> const blocks(builder / "blocks", 2,
                                      {.width = 6, .heads = 2, .hidden = 5, .initial = nn::normal(0.3)});
  return nn::Sequential{tokens, nn::SinusoidalPositions(), blocks, tokens.output_layer()};
}

TEST(LanguageModel, IsAModule) {
  Ctx ctx;
  auto const model = language_model(ctx);
  attn_test::Array<int, 2> const ids({2, 4}, {0, 3, 3, 6, 1, 2, 3, 0});
  EXPECT_SOUND(attn::testing::check_module(ctx, model, Tensor<int const, 2, attn_test::Memory>(ids.tensor())));
}

TEST(LanguageModel, NoOutputDependsOnLaterTokens) {
  Ctx ctx;
  auto const model = language_model(ctx);
  auto const logits = [&](std::vector<double> const& ids) {
    return host_numbers(model.forward(ctx, attn_test::Array<int, 2>({1, 5}, ids).tensor()).value);
  };
  auto const before = logits({1, 2, 3, 4, 5}), after = logits({1, 2, 3, 0, 6});
  auto const part = [](std::vector<double> const& all, Index first, Index last) {
    return std::vector(all.begin() + 7 * first, all.begin() + 7 * last);
  };
  EXPECT_EQ(part(before, 0, 3), part(after, 0, 3));
  EXPECT_NE(part(before, 3, 4), part(after, 3, 4));
  EXPECT_NE(part(before, 4, 5), part(after, 4, 5));
}

}  // namespace
