// A whole detector: parameters and names, losses and gradients against an independent implementation, detections.
#include "attn/activation/softmax.hpp"
#include "attn/attention/any_activation.hpp"
#include "attn/io/safetensors.hpp"
#include "attn/models/mask_rcnn_names.hpp"

#include "golden_model.hpp"

namespace {

using namespace attn;
using attn_test::golden;
using attn_test::golden_array;
using attn_test::Memory;
using Ctx = nn::Context<attn_test::Exec>;
using Model = models::MaskRcnn<AnyActivation>;
using Config = models::MaskRcnnConfig<AnyActivation>;

Config small() {
  Config config{.backbone = {.width = 16,
                             .depth = 4,
                             .heads = 2,
                             .mlp_ratio = 2,
                             .taps = {0, 1, 2, 3},
                             .stochastic_depth = 0,
                             .activation = Softmax{}},
                .classes = 3,
                .width = 8,
                .hidden = 12,
                .mask_depth = 2,
                .anchors = {.scales = {4}},
                .finest = 6};
  config.anchor_losses.sample = {.count = 1000000, .most_positive = 0.5f};  // all
  config.regions.sample = {.count = 1000000, .most_positive = 0.5f};
  return config;
}

/// One batch of three images, of which the second has no objects.
struct Batch {
  attn_test::Array<float, 4> pixels = golden_array<float, 4>("mask_rcnn/pixels");
  attn_test::Array<float, 2> boxes = golden_array<float, 2>("mask_rcnn/boxes");
  attn_test::Array<std::int32_t, 1> labels = golden_array<std::int32_t, 1>("mask_rcnn/labels");
  attn_test::Array<std::uint8_t, 3> masks = golden_array<std::uint8_t, 3>("mask_rcnn/masks");

  models::DetectionImages<Ctx> images() const { return {pixels.tensor(), {{64, 96}, {50, 71}, {61, 33}}}; }
  detection::Truths<Memory> truths() const { return {boxes, labels, masks, {0, 2, 2, 3}}; }
};

TEST(MaskRcnn, HasThePublishedNumberOfParameters) {
  Ctx ctx;
  Model const model(ctx, models::mask_rcnn_config<AnyActivation>("small_12_p16", Softmax{}).value());
  EXPECT_EQ(ctx.parameters.count(), 44386560);
  for (char const* const name :
       {"backbone.patch_embed.proj.0.0.weight", "backbone.pos_embeder.token_projection.weight",
        "backbone.blocks.11.attn.temperature", "backbone.fpn1.3.weight", "backbone.fpn2.0.bias",
        "neck.lateral_convs.3.conv.weight", "rpn_head.rpn_cls.bias", "roi_head.bbox_head.shared_fcs.1.weight",
        "roi_head.mask_head.convs.3.conv.bias", "roi_head.mask_head.conv_logits.weight"}) {
    EXPECT_TRUE(ctx.parameters.contains(name)) << name;
  }
  EXPECT_TRUE(ctx.parameters.contains_buffer("backbone.fpn1.1.running_mean"));
  for (auto const& e : ctx.parameters.entries()) {
    EXPECT_EQ(e.decays, e.name.find("norm") == std::string::npos) << e.name;
  }
}

TEST(MaskRcnn, HasTheLossesAndGradientsOfAnIndependentImplementation) {
  Ctx ctx;
  Model const model(ctx, small());
  attn_test::load_state(ctx, "mask_rcnn/state.safetensors");
  Batch const batch;
  std::vector<attn_test::Array<float, 2>> proposals;
  std::vector<detection::ConstBoxes<Memory>> views;
  for (int b = 0; b < 3; ++b) {
    proposals.push_back(golden_array<float, 2>("mask_rcnn/proposals_" + std::to_string(b)));
    views.push_back(proposals.back());
  }
  auto const losses = model.accumulate_gradients<Ctx>(ctx, batch.images(), batch.truths(), {}, views);
  auto const values = losses.values();
  EXPECT_SOUND(
      attn::testing::allclose(std::vector<double>(values.begin(), values.end()), golden("mask_rcnn/losses"), 1e-5));
  io::Safetensors const gradients(attn_test::golden_path("mask_rcnn/gradients.safetensors"));
  EXPECT_EQ(gradients.tensors().size(), ctx.parameters.entries().size());
  for (auto const& e : ctx.parameters.entries()) {
    // A batch norm does not see the bias before it: its gradient is zero but for rounding.
    double const scale = e.name == "backbone.fpn1.0.bias" ? 0.01 : 0;
    auto const golden_gradient = gradients.array(e.name).template as<double>();
    EXPECT_SOUND(attn::testing::allclose(ctx.parameters.host_gradients(e), golden_gradient, 1e-4, scale).about(e.name));
  }
}

TEST(MaskRcnn, GivesTheSameBitsForOneThreadAndForAllAndTakesNoMemoryAfterTheFirstStep) {
  Config config = small();
  config.anchor_losses.sample = {.count = 16};
  config.regions.sample = {.count = 12};
  config.train_proposals.count = 30;
  Batch const batch;
  std::vector<std::vector<double>> results;
  for (attn_test::Exec const& exec : {attn_test::Exec(), attn_test::one_thread()}) {
    Ctx ctx(1, exec);
    Model const model(ctx, config);
    std::size_t capacity = 0;
    int const steps = results.empty() ? 2 : 1;
    for (int step = 0; step < steps; ++step) {
      ctx.begin_step();
      ctx.parameters.zero_gradients(ctx.exec);
      auto const losses = model.accumulate_gradients<Ctx>(ctx, batch.images(), batch.truths(), {.seed = 5}).values();
      results.push_back(attn::testing::detail::host_numbers(ctx.parameters.gradients()));
      results.back().insert(results.back().end(), losses.begin(), losses.end());
      if (step == 1) {
        EXPECT_EQ(ctx.workspace.capacity(), capacity);
      }
      capacity = ctx.workspace.capacity();
    }
  }
  for (auto const& other : results) EXPECT_SOUND(attn::testing::same_bits(other, results[0]));
}

TEST(MaskRcnn, FindsBoxesAndMasksWithinItsImages) {
  Ctx ctx;
  Config config = small();
  config.detections.least_score = 0;
  config.detections.count = 7;
  config.test_proposals.count = 20;
  Model const model(ctx, config);
  attn_test::load_state(ctx, "mask_rcnn/state.safetensors");
  ctx.training = false;
  Batch const batch;
  auto const found = model.detect<Ctx>(ctx, batch.images());
  ASSERT_EQ(found.size(), 3u);
  for (std::size_t b = 0; b < 3; ++b) {
    ASSERT_EQ(found[b].size(), 7u);
    auto const size = batch.images().sizes[b];
    float last = 1;
    for (auto const& d : found[b]) {
      EXPECT_LE(d.score, last);
      last = d.score;
      EXPECT_TRUE(d.label >= 0 && d.label < 3);
      EXPECT_TRUE(d.box.left >= 0 && d.box.top >= 0 && d.box.right <= float(size.width) &&
                  d.box.bottom <= float(size.height));
      ASSERT_EQ(d.mask.size(), 28u * 28u);
      for (float const p : d.mask) EXPECT_TRUE(p >= 0 && p <= 1);
    }
  }
  EXPECT_TRUE(model.detect<Ctx>(ctx, batch.images(), true)[0][0].mask.empty());
}

TEST(MaskRcnn, LearnsFromImagesWithoutObjects) {
  Ctx ctx;
  Model const model(ctx, small());
  Batch const batch;
  detection::Truths<Memory> nothing;
  nothing.boxes = {nullptr, {0, 4}};
  nothing.labels = {nullptr, {0}};
  nothing.first = {0, 0, 0, 0};
  auto const losses = model.accumulate_gradients<Ctx>(ctx, batch.images(), nothing, {}).values();
  EXPECT_GT(losses[0], 0);
  EXPECT_EQ(losses[1], 0);
  EXPECT_GT(losses[2], 0);
  EXPECT_EQ(losses[3], 0);
  EXPECT_EQ(losses[4], 0);
}

TEST(MaskRcnn, SaysWhatIsWrong) {
  Ctx ctx;
  Config config = small();
  config.backbone.taps = {0, 1, 2, 2};
  EXPECT_EQ(attn_test::error_of([&] { Model(ctx / "a", config); }),
            "XcitBackbone: take the four maps in the order of the layers, the last behind layer 3, got 0, 1, 2 and 2");
  Model const model(ctx / "b", small());
  attn_test::Array<float, 4> const odd({1, 3, 40, 64});
  EXPECT_EQ(attn_test::error_of([&] {
              model.detect<Ctx>(ctx, {odd.tensor(), {{40, 64}}});
            }),
            "XcitBackbone::forward: pad images to multiples of 32 pixels, got 40 x 64");
}

}  // namespace
