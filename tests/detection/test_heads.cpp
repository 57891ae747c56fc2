// The heads of a detector: modules whose gradients are right, with published names; what becomes of their scores.
#include "attn/detection/detections.hpp"
#include "attn/detection/heads.hpp"
#include "attn/testing/check_module.hpp"

#include "support.hpp"

namespace {

using namespace attn;
using namespace attn::detection;
using attn::testing::check_module;
using attn_test::Memory;
using Ctx = nn::Context<attn_test::Exec, double>;

std::vector<std::string> names(Ctx const& ctx) {
  std::vector<std::string> all;
  for (auto const& e : ctx.parameters.entries()) all.push_back(e.name);
  return all;
}

TEST(ProposalHead, IsAModule) {
  Ctx ctx;
  ProposalHead const head(ctx / "rpn_head", {.width = 3, .shapes = 2});
  std::vector<Tensor<double, 4, Memory>> const like = {{nullptr, {2, 3, 2, 3}}, {nullptr, {2, 1, 2, 3}}};
  EXPECT_SOUND(check_module(ctx, head, like));
  EXPECT_EQ(names(ctx),
            (std::vector<std::string>{"rpn_head.rpn_conv.weight", "rpn_head.rpn_conv.bias", "rpn_head.rpn_cls.weight",
                                      "rpn_head.rpn_cls.bias", "rpn_head.rpn_reg.weight", "rpn_head.rpn_reg.bias"}));
}

TEST(BoxHead, IsAModule) {
  Ctx ctx;
  BoxHead const head(ctx, {.width = 3, .size = 2, .hidden = 5, .classes = 2});
  EXPECT_SOUND(check_module(ctx, head, {4, 2, 2, 3}));
  EXPECT_EQ(names(ctx)[0], "shared_fcs.0.weight");
  EXPECT_EQ(names(ctx)[7], "fc_reg.bias");
}

TEST(MaskHead, IsAModule) {
  Ctx ctx;
  MaskHead const head(ctx, {.width = 3, .depth = 2, .classes = 2});
  EXPECT_SOUND(check_module(ctx, head, {2, 3, 3, 3}));
  EXPECT_EQ(names(ctx)[2], "convs.1.conv.weight");
  EXPECT_EQ(names(ctx)[4], "upsample.weight");
  EXPECT_EQ(names(ctx)[6], "conv_logits.weight");
}

TEST(Propose, DecodesTheLikeliestAnchorsOfEachMapAndDropsWhatOverlaps) {
  Ctx ctx;
  std::vector<Tensor<double, 4, Memory>> const maps = {{nullptr, {2, 2, 2, 1}}, {nullptr, {2, 1, 1, 1}}};
  auto const grid = make_anchor_grid(ctx, maps, {.ratios = {1}, .scales = {1}}, {{16, 14}, {9, 16}}, 8);
  // In the second image the third anchor is moved onto the first, which is likelier.
  attn_test::Array<double, 2> const logits({2, 5}, {1, 4, 3, 2, 5, 4, 1, 3, 2, -1});
  std::vector<double> shifts(40, 0.0);
  shifts[20 + 2 * 4 + 1] = -1;
  attn_test::Array<double, 3> const moved({2, 5, 4}, shifts);
  auto const found = propose<Ctx>(ctx, {logits.tensor(), moved.tensor()}, grid, {.of_map = 3, .count = 4});
  auto const counts = host_copy(found.counts);
  EXPECT_EQ(counts, (std::vector<std::int32_t>{4, 3}));
  auto const boxes = attn::testing::detail::host_numbers(found.boxes);
  // The best of all is that of the coarse map, clipped; then the fine ones by their logits.
  EXPECT_EQ(std::vector<double>(boxes.begin(), boxes.begin() + 16),
            (std::vector<double>{0, 0, 8, 8, 4, 0, 12, 4, 0, 4, 4, 12, 4, 4, 12, 12}));
  EXPECT_EQ(std::vector<double>(boxes.begin() + 16, boxes.end()),
            (std::vector<double>{0, 0, 4, 4, 4, 4, 12, 9, 0, 0, 8, 8, 0, 0, 0, 0}));
}

TEST(Detect, KeepsTheBestOfEachClass) {
  Ctx ctx;
  attn_test::Array<float, 2> const boxes({3, 4}, {0, 0, 10, 10, 1, 0, 11, 10, 30, 30, 60, 90}), sizes({1, 2}, {50, 50});
  attn_test::Array<std::int32_t, 1> const images({3}), places({3}, {0, 1, 2});
  // Of the first class: the first two boxes, which overlap; of the second the last one, and a little of the first.
  attn_test::Array<double, 2> const logits({3, 3}, {4, 1.5, 0, 5, -9, 0, -9, 2, 0}), codes({3, 8});
  auto const found =
      detect<Ctx>(ctx, {boxes, images, places, 3}, {logits.tensor(), codes.tensor()}, sizes, {.count = 5});
  ASSERT_EQ(found.size(), 1u);
  ASSERT_EQ(found[0].size(), 3u);
  EXPECT_EQ(found[0][0].label, 0);
  EXPECT_NEAR(found[0][0].score, 1 / (1 + std::exp(-5.0) + std::exp(-14.0)), 1e-6);
  EXPECT_EQ(found[0][0].box.left, 1);
  EXPECT_EQ(found[0][1].label, 1);
  EXPECT_EQ(found[0][1].box.bottom, 50);  // clipped to the image
  EXPECT_EQ(found[0][2].label, 1);
  EXPECT_EQ(found[0][2].box.left, 0);
}

TEST(Heads, SayWhatIsWrong) {
  Ctx ctx;
  ProposalHead const head(ctx, {.width = 3, .shapes = 2});
  EXPECT_EQ(attn_test::error_of([&] { head.forward(ctx, std::vector<Tensor<double, 4, Memory>>{}); }),
            "ProposalHead::forward: give at least one map");
  EXPECT_EQ(attn_test::error_of([&] { head.backward(ctx, {}, {}); }),
            "ProposalHead::backward: run forward with ctx.training or ctx.keep_tape switched on, and use each tape "
            "once");
}

}  // namespace
