#include "attn/nn/feature_pyramid.hpp"
#include "attn/testing/check_module.hpp"

#include "support.hpp"

namespace {

using namespace attn;
using attn_test::Memory;
using Ctx = nn::Context<attn_test::Exec, double>;
using Maps = std::vector<Tensor<double, 4, Memory>>;

TEST(FeaturePyramid, IsAModule) {
  Ctx ctx;
  nn::FeaturePyramid const pyramid(ctx / "neck", {.inputs = {3, 2, 4}, .width = 2, .levels = 5});
  Maps const like = {{nullptr, {1, 7, 6, 3}}, {nullptr, {1, 4, 3, 2}}, {nullptr, {1, 2, 1, 4}}};
  EXPECT_SOUND(attn::testing::check_module(ctx, pyramid, like));
  EXPECT_EQ(ctx.parameters.entries().front().name, "neck.lateral_convs.0.conv.weight");
  EXPECT_EQ(ctx.parameters.entries().back().name, "neck.fpn_convs.2.conv.bias");
}

TEST(FeaturePyramid, TakesEverySecondPixelForCoarserMaps) {
  Ctx ctx;
  nn::FeaturePyramid const pyramid(ctx, {.inputs = {1}, .width = 1, .levels = 2});
  attn_test::Array<double, 4> const x({1, 3, 4, 1}, attn_test::random_numbers(12, 1));
  auto const y = pyramid.forward(ctx, Maps{x.tensor()}).value;
  ASSERT_EQ(y[1].extents(), (Extents<4>{1, 2, 2, 1}));
  auto const fine = attn::testing::detail::host_numbers(y[0]);
  EXPECT_EQ(attn::testing::detail::host_numbers(y[1]), (std::vector<double>{fine[0], fine[2], fine[8], fine[10]}));
}

TEST(FeaturePyramid, SaysWhatIsWrong) {
  Ctx ctx;
  EXPECT_EQ(attn_test::error_of([&] {
              nn::FeaturePyramid(ctx / "a", {.inputs = {1, 1}, .levels = 1});
            }),
            "FeaturePyramid: give channels of at least one map, a width, and at least as many levels, got 2 maps, 256 "
            "and 1");
  nn::FeaturePyramid const pyramid(ctx / "b", {.inputs = {1}, .width = 1, .levels = 1});
  EXPECT_EQ(attn_test::error_of([&] { pyramid.forward(ctx, Maps{}); }), "FeaturePyramid::forward: give 1 maps, got 0");
}

}  // namespace
