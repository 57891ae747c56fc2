#include "attn/nn/patch_merging.hpp"
#include "attn/testing/check_module.hpp"

#include "support.hpp"

namespace {

using namespace attn;
using Ctx = nn::Context<attn_test::Exec, double>;

TEST(PatchMerging, IsAModuleForEvenAndOddMaps) {
  for (auto const [height, width] : {std::array<Index, 2>{4, 2}, {3, 5}, {1, 1}}) {
    Ctx ctx;
    nn::PatchMerging const merging(ctx / "downsample", {.width = 3, .outputs = 5});
    EXPECT_SOUND(attn::testing::check_module(ctx, merging, {2, height, width, 3}));
  }
}

TEST(PatchMerging, PutsColumnsBehindRowsAndZerosBehindTheEdges) {
  // What timm's PatchMerging hands to its norm, for pixels 1, 2, ... of one channel.
  auto const merged = [](Index height, Index width) {
    nn::detail::MergedPixels const pixels{height, width, 1};
    std::vector<Index> numbers;
    for (Index i = 0; i < 4 * pixels.down() * pixels.across(); ++i) numbers.push_back(pixels.source(i / 4, i % 4) + 1);
    return numbers;
  };
  EXPECT_EQ(merged(2, 4), (std::vector<Index>{1, 5, 2, 6, 3, 7, 4, 8}));
  EXPECT_EQ(merged(3, 3), (std::vector<Index>{1, 4, 2, 5, 3, 6, 0, 0, 7, 0, 8, 0, 9, 0, 0, 0}));
}

TEST(PatchMerging, HasTimmsParametersAndSaysWhatItWants) {
  Ctx ctx;
  nn::PatchMerging const merging(ctx / "downsample", {.width = 4});
  EXPECT_EQ(ctx.parameters.entry("downsample.norm.weight").shape, std::vector<Index>{16});
  EXPECT_EQ(ctx.parameters.entry("downsample.reduction.weight").shape, (std::vector<Index>{8, 16}));
  EXPECT_FALSE(ctx.parameters.contains("downsample.reduction.bias"));
  auto const x = attn_test::random_array<double, 4>({1, 2, 2, 3}, 1);
  EXPECT_EQ(attn_test::error_of([&] { merging.forward(ctx, x.tensor()); }),
            "PatchMerging::forward: give contiguous maps (B, H, W, 4), got (1, 2, 2, 3)");
}

}  // namespace
