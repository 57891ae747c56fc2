#include "attn/nn/patch_embedding.hpp"
#include "attn/testing/check_module.hpp"

#include "support.hpp"

namespace {

using attn::Index;
using attn::nn::PatchEmbedding;
using attn_test::Exec;
template <class T>
using Ctx = attn::nn::Context<Exec, T>;

TEST(PatchEmbedding, IsAModule) {
  for (auto const& c : {PatchEmbedding::Config{1, 4, 4, 4, 4, 3}, {2, 6, 8, 3, 2, 5}, {3, 5, 7, 1, 7, 1}}) {
    Ctx<double> ctx;
    PatchEmbedding const embedding(ctx / "embed", c);
    EXPECT_SOUND(attn::testing::check_module(ctx, embedding, {2, c.channels, c.height, c.width}));
  }
}

TEST(PatchEmbedding, IsAConvolutionWhoseStrideIsThePatch) {
  PatchEmbedding::Config const c{
      .channels = 2, .height = 6, .width = 8, .patch_height = 3, .patch_width = 2, .outputs = 5};
  Ctx<double> ctx(1);
  PatchEmbedding const embedding(ctx / "e", c);
  auto const images = attn_test::random_array<double, 4>({2, 2, 6, 8}, 1);
  auto const y = attn::testing::detail::host_numbers(embedding.forward(ctx, images.tensor()).value);
  auto const x = images.numbers();
  auto const w = ctx.parameters.host_values(ctx.parameters.entry("e.proj.weight"));
  auto const b = ctx.parameters.host_values(ctx.parameters.entry("e.proj.bias"));
  std::vector<double> want;
  for (Index image = 0; image < 2; ++image) {
    for (Index top = 0; top < 6; top += 3) {
      for (Index left = 0; left < 8; left += 2) {
        for (Index o = 0; o < 5; ++o) {
          double sum = b[std::size_t(o)];
          for (Index ch = 0; ch < 2; ++ch) {
            for (Index i = 0; i < 3; ++i) {
              for (Index j = 0; j < 2; ++j) {
                sum += w[std::size_t(((o * 2 + ch) * 3 + i) * 2 + j)] *
                       x[std::size_t(((image * 2 + ch) * 6 + top + i) * 8 + left + j)];
              }
            }
          }
          want.push_back(sum);
        }
      }
    }
  }
  EXPECT_SOUND(attn::testing::allclose(y, want, 1e-14));
}

TEST(PatchEmbedding, StartsAsAConvolutionDoes) {
  Ctx<float> ctx;
  PatchEmbedding const embedding(
      ctx / "e", {.channels = 3, .height = 32, .width = 32, .patch_height = 16, .patch_width = 16, .outputs = 192});
  for (char const* name : {"e.proj.weight", "e.proj.bias"}) {
    auto const v = ctx.parameters.host_values(ctx.parameters.entry(name));
    float const largest = *std::max_element(v.begin(), v.end());
    EXPECT_LE(largest, 1 / std::sqrt(768.0f));
    EXPECT_GT(largest, 0.95f / std::sqrt(768.0f));
  }
}

TEST(PatchEmbedding, GivesTheGradientsOfParametersAlone) {
  PatchEmbedding::Config const c{
      .channels = 1, .height = 4, .width = 6, .patch_height = 2, .patch_width = 2, .outputs = 3};
  auto const images = attn_test::random_array<double, 4>({2, 1, 4, 6}, 1);
  auto const d_y = attn_test::random_array<double, 3>({2, 6, 3}, 2);
  Ctx<double> a(1), b(1);
  PatchEmbedding const first(a / "e", c), second(b / "e", c);
  first.backward(a, first.forward(a, images.tensor()).tape, d_y.tensor());
  second.backward_parameters(b, second.forward(b, images.tensor()).tape, d_y.tensor());
  EXPECT_SOUND(attn::testing::same_bits(b.parameters.gradients(), a.parameters.gradients()));
}

TEST(PatchEmbedding, WantsAPatchThatDividesTheImage) {
  Ctx<float> ctx;
  EXPECT_EQ(
      attn_test::error_of([&] {
        PatchEmbedding(
            ctx, {.channels = 3, .height = 224, .width = 224, .patch_height = 16, .patch_width = 15, .outputs = 8});
      }),
      "PatchEmbedding: choose a patch that divides the image, got a patch of 16 x 15 and an image of 3 x 224 x 224");
  EXPECT_NE(attn_test::error_of([&] { PatchEmbedding(ctx, {.channels = 3, .height = 4, .width = 4, .outputs = 8}); }),
            "");
  PatchEmbedding const embedding(
      ctx / "e", {.channels = 1, .height = 4, .width = 4, .patch_height = 2, .patch_width = 2, .outputs = 8});
  attn_test::Array<float, 4> const wrong({2, 1, 4, 5});
  EXPECT_NE(attn_test::error_of([&] { embedding.forward(ctx, wrong.tensor()); }), "");
}

}  // namespace
