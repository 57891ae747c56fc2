#include "attn/activation/poly.hpp"
#include "attn/activation/softmax.hpp"
#include "attn/nn/mlp.hpp"
#include "attn/nn/transformer_block.hpp"
#include "attn/nn/window_attention.hpp"
#include "attn/testing/check_module.hpp"

#include "nn/golden_core.hpp"
#include "support.hpp"

namespace {

using namespace attn;
using attn::testing::expect_golden_core;
using attn::testing::on_host;
using nn::WindowGrid;
using Ctx = nn::Context<attn_test::Exec, double>;
template <class A>
using Windows = nn::Attention<nn::FusedQkv, nn::WindowAttention<A>>;

void expect_golden(char const* name, nn::WindowAttention<Softmax>::Settings const& settings,
                   Extents<4> const& extents) {
  Ctx ctx;
  Windows<Softmax> const attention(ctx, {.width = 6, .heads = 2, .core = settings});
  expect_golden_core(ctx, attention, name, extents);
}

TEST(WindowAttention, GivesTheNumbersOfTimm) {
  expect_golden("windows", {.window = 2}, {2, 4, 6, 6});
  expect_golden("windows_shifted", {.window = 3, .shift = 1}, {2, 6, 9, 6});
  expect_golden("windows_padded", {.window = 3, .shift = 1}, {1, 5, 7, 6});
  expect_golden("windows_oblong", {.window = {2, 3}, .shift = 1}, {1, 4, 9, 6});
}

TEST(WindowAttention, IsAModuleForEveryKindOfActivation) {
  Ctx a, b;
  Windows<Softmax> const softmax(a / "attn", {.width = 4, .heads = 2, .core = {.window = 2, .shift = 1}});
  EXPECT_SOUND(attn::testing::check_module(a, softmax, {1, 4, 5, 4}));
  Windows<Poly<3, DynamicScale>> const cube(
      b / "attn", {.width = 4, .heads = 2, .scale_per_head = true, .core = {.window = 2, .shift = 1}});
  EXPECT_EQ(b.parameters.host_values(b.parameters.entry("attn.activation.scale")), (std::vector<double>{0.5, 0.5}));
  EXPECT_SOUND(attn::testing::check_module(b, cube, {2, 4, 4, 4}));
}

TEST(WindowAttention, PassesThroughABlock) {
  using Block = nn::TransformerBlock<Windows<Softmax>, nn::Mlp<nn::Gelu>>;
  Ctx ctx;
  Block const block(ctx / "block", {.width = 4, .heads = 2, .hidden = 5, .core = {.window = 2, .shift = 1}});
  EXPECT_SOUND(attn::testing::check_module(ctx, block, {1, 4, 4, 4}));
}

TEST(WindowAttention, TokensOfARegionAreOneRangeAndEveryPixelIsOnce) {
  for (WindowGrid const grid :
       {WindowGrid{6, 9, 3, 3, 1, 2}, WindowGrid{4, 4, 4, 2, 0, 1}, WindowGrid{5, 7, 3, 2, 2, 1}}) {
    std::vector<int> seen(std::size_t(grid.height * grid.width));
    for (int w = 0; w < grid.windows(); ++w) {
      KeyRange before;
      for (int i = 0; i < grid.tokens(); ++i) {
        KeyRange const keys = grid.keys({.batch = w, .index = i, .n_queries = grid.tokens(), .n_keys = grid.tokens()});
        EXPECT_TRUE(keys.begin <= i && i < keys.end && keys.begin >= before.begin && keys.end >= before.end);
        before = keys;
        if (int const pixel = grid.pixel(w, i); pixel >= 0) ++seen[std::size_t(pixel)];
      }
    }
    EXPECT_EQ(seen, std::vector<int>(seen.size(), 1));
  }
}

// On a device, gradients of biases are kept apart for more windows than an image has.
TEST(WindowAttention, AddsUpTheGradientsOfAKindOfSeveralImages) {
  WindowGrid const grid{4, 6, 2, 3, 1, 1};  // four windows, each of a kind of its own
  Index const n = grid.tokens(), heads = 2, windows = 8;
  std::vector<double> gradients;
  for (Index i = 0; i < windows * heads * n * n; ++i) gradients.push_back(double(i));
  auto const from = attn::testing::on_device(gradients), to = attn::testing::on_device(std::vector<double>(288));
  elementwise<double>(attn_test::Exec(), "sums", 4 * heads * n, n,
                      nn::detail::SumWindows<double>{grid, from.data(), to.data(), heads, windows});
  auto const sums = on_host(Tensor<double, 1, Ctx::MemorySpace>(to.data(), {288}));
  for (std::size_t i = 0; i < sums.size(); ++i) EXPECT_EQ(sums[i], double(2 * i + 288));
}

TEST(WindowAttention, NormsAndWeightsAreThoseOfEachWindow) {
  Ctx ctx(1);
  Windows<Softmax> const attention(
      ctx / "attn", {.width = 4, .heads = 2, .core = {.window = 2, .shift = 1}, .initial = nn::normal(0.6)});
  auto const x = attn_test::random_array<double, 4>({2, 4, 4, 4}, 1);
  auto const forward = attention.forward(ctx, x.tensor());
  auto const norms = on_host(attention.norms(ctx, forward.tape).frobenius);  // (8, 2)
  ASSERT_EQ(norms.size(), 16u);
  auto const w = on_host(attention.weights(ctx, forward.tape, 7));  // the corner: four regions of one pixel
  for (std::size_t i = 0; i < 32; ++i) EXPECT_EQ(w[i], i % 16 % 5 == 0 ? 1.0 : 0.0);
  EXPECT_NEAR(norms[14], 4, 1e-12);
  auto const inner = on_host(attention.weights(ctx, forward.tape, 4));
  double squares = 0;
  for (std::size_t i = 0; i < 16; ++i) squares += inner[16 + i] * inner[16 + i];
  EXPECT_NEAR(norms[9], squares, 1e-12);
}

TEST(WindowAttention, InNumbersOfTwoBytesIsNearThatOfFloats) {
  nn::Context<attn_test::Exec, float> ctx(1);
  Windows<Softmax> const attention(ctx / "attn", {.width = 16, .heads = 2, .core = {.window = 3, .shift = 1}});
  nn::Context<attn_test::Exec, BFloat16> narrow(ctx);
  auto const x = attn_test::random_array<float, 4>({1, 5, 6, 16}, 1);
  auto const exact = on_host(attention.forward(ctx, x.tensor()).value);
  auto const rounded = nn::converted<BFloat16>(narrow, Tensor<float const, 4, Ctx::MemorySpace>(x.tensor()));
  auto const got = on_host(attention.forward(narrow, rounded).value);
  for (std::size_t i = 0; i < exact.size(); ++i) EXPECT_NEAR(float(got[i]), exact[i], 0.02f);
}

TEST(WindowAttention, SaysWhatItWants) {
  Ctx ctx;
  EXPECT_EQ(attn_test::error_of(
                [&] { Windows<Softmax>(ctx / "a", {.width = 4, .heads = 2, .core = {.window = 3, .shift = 3}}); }),
            "WindowAttention: give a window of positive size and a shift below it, got 3 x 3 and 3 x 3");
  Windows<Softmax> const attention(ctx / "b", {.width = 4, .heads = 2});
  auto const x = attn_test::random_array<double, 4>({1, 7, 7, 4}, 1);
  auto const lengths = attn::testing::on_device(std::vector<int>{7});
  nn::WithSequences const padded(ctx, {.lengths = lengths});
  EXPECT_EQ(
      attn_test::error_of([&] { attention.forward(ctx, x.tensor()); }),
      "WindowAttention::forward: call it without lengths or packed sequences, which it would leave out of account");
}

}  // namespace
