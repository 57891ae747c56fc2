// That it is a module, test_cross_covariance_block.cpp shows; that its numbers are timm's, tests/models/test_xcit.cpp.
#include "attn/nn/local_patch_interaction.hpp"

#include "support.hpp"

namespace {

using namespace attn;
using Ctx = nn::Context<attn_test::Exec, double>;

TEST(LocalPatchInteraction, HasTimmsParametersAndBuffers) {
  Ctx ctx;
  nn::LocalPatchInteraction const local(ctx / "l", {.width = 5});
  EXPECT_EQ(ctx.parameters.entry("l.conv2.weight").shape, (std::vector<Index>{5, 1, 3, 3}));
  EXPECT_TRUE(ctx.parameters.contains("l.conv1.bias") && ctx.parameters.contains("l.bn.weight"));
  EXPECT_TRUE(ctx.parameters.contains_buffer("l.bn.num_batches_tracked"));
  EXPECT_EQ(ctx.parameters.count(), 5 * 22);
}

TEST(LocalPatchInteraction, WantsAnOddKernel) {
  Ctx ctx;
  EXPECT_EQ(attn_test::error_of([&] { nn::LocalPatchInteraction(ctx, {.width = 5, .kernel = 2}); }),
            "LocalPatchInteraction: give an odd kernel, got 2");
}

}  // namespace
