// That its numbers are timm's, tests/models/test_xcit.cpp shows.
#include "attn/nn/local_patch_interaction.hpp"
#include "attn/testing/check_module.hpp"

#include "support.hpp"

namespace {

using namespace attn;
using Ctx = nn::Context<attn_test::Exec, double>;

TEST(LocalPatchInteraction, IsAModule) {
  Ctx ctx;
  nn::LocalPatchInteraction const local(ctx / "l", {.width = 5});
  EXPECT_EQ(ctx.parameters.entry("l.conv2.weight").shape, (std::vector<Index>{5, 1, 3, 3}));
  EXPECT_EQ(ctx.parameters.count(), 5 * 22);
  attn::testing::CheckModuleOptions const statistics_differ{.noisy = true};  // in evaluation from those in training
  EXPECT_SOUND(attn::testing::check_module(ctx, local, {2, 3, 4, 5}, statistics_differ));
  EXPECT_NE(attn_test::error_of([&] { nn::LocalPatchInteraction(ctx, {.width = 5, .kernel = 2}); }), "");
}

}  // namespace
