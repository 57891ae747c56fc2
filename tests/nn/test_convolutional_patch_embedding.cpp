// That its numbers are timm's, tests/models/test_xcit.cpp shows.
#include "attn/nn/convolutional_patch_embedding.hpp"
#include "attn/testing/check_module.hpp"

#include "support.hpp"

namespace {

using namespace attn;
using Ctx = nn::Context<attn_test::Exec, double>;
using nn::ConvolutionalPatchEmbedding;

/// Whose gradient of the images is part of `backward`, as in every module.
TEST(ConvolutionalPatchEmbedding, IsAModuleForImagesOfAnySize) {
  Ctx ctx;
  ConvolutionalPatchEmbedding const patches(ctx / "p", {.channels = 2, .patch = 4, .outputs = 6});
  EXPECT_EQ(ctx.parameters.entry("p.proj.0.0.weight").shape, (std::vector<Index>{3, 2, 3, 3}));
  EXPECT_EQ(ctx.parameters.entry("p.proj.2.0.weight").shape, (std::vector<Index>{6, 3, 3, 3}));
  EXPECT_TRUE(ctx.parameters.contains_buffer("p.proj.2.1.num_batches_tracked"));
  attn::testing::CheckModuleOptions const statistics_differ{.noisy = true};  // in evaluation from those in training
  EXPECT_SOUND(attn::testing::check_module(ctx, patches, {2, 2, 5, 8}, statistics_differ));
}

TEST(ConvolutionalPatchEmbedding, SaysWhichSizesItWants) {
  Ctx ctx;
  EXPECT_EQ(attn_test::error_of([&] { ConvolutionalPatchEmbedding(ctx, {.patch = 12, .outputs = 6}); }),
            "ConvolutionalPatchEmbedding: choose a patch that is a power of two, 2 at least, got 12");
  EXPECT_EQ(attn_test::error_of([&] { ConvolutionalPatchEmbedding(ctx, {.patch = 8, .outputs = 6}); }),
            "ConvolutionalPatchEmbedding: make the width a multiple of half the patch, got a width of 6 and a patch of "
            "8");
  ConvolutionalPatchEmbedding const patches(ctx, {.patch = 2, .outputs = 6});
  attn_test::Array<double, 4> const grey({2, 1, 4, 4});
  EXPECT_NE(attn_test::error_of([&] { patches.forward(ctx, grey.tensor()); }).find("got (2, 1, 4, 4)"),
            std::string::npos);
}

}  // namespace
