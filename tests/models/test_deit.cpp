// Distilled vision transformers, and those of DeiT III, against timm's: training and evaluation, softmax and a cube
// with a trained scale.
#include "attn/activation/poly.hpp"
#include "attn/activation/softmax.hpp"
#include "attn/attention/any_activation.hpp"
#include "attn/models/deit.hpp"
#include "attn/testing/check_module.hpp"

#include "golden_model.hpp"

namespace {

using namespace attn;
using attn_test::Exec;
using Any = models::VitBlock<AnyActivation>;
using Cube = Poly<3, DynamicScale>;
constexpr double tolerance = 3e-5;  // the acceptance bound is 1e-4; single precision leaves 1e-6 to 1e-5 here

models::VitConfig<AnyActivation> small(AnyActivation const& activation, bool distilled) {
  return {.width = 16,
          .depth = 2,
          .heads = 2,
          .mlp_ratio = 2,
          .image_height = 16,
          .image_width = 12,
          .patch_height = 4,
          .patch_width = 4,
          .classes = 5,
          .distilled = distilled,
          .embeds_prefix = distilled,
          .activation = activation,
          .layer_scale = distilled ? 0 : 1e-6};
}

/// What trains with a teacher: both heads.
void expect_golden_heads(std::string const& name, AnyActivation const& activation) {
  std::string const at = "deit/distilled_" + name + "_";
  nn::Context<Exec> ctx;
  models::Deit<Any> const model(ctx, small(activation, true));
  attn_test::load_state(ctx, "deit/distilled_state.safetensors");
  auto const images = attn_test::golden_array<float, 4>("deit/images");
  auto const d = attn_test::golden_array<float, 3>("deit/d_logits");
  auto [logits, tape] = model.forward(ctx, images.tensor());
  auto both = attn::testing::detail::host_numbers(logits.of_labels);
  for (double const x : attn::testing::detail::host_numbers(logits.of_teacher)) both.push_back(x);
  EXPECT_SOUND(attn::testing::allclose(both, attn_test::golden(at + "logits"), tolerance).about(at + "logits"));
  float* const numbers = d.tensor().data();
  model.backward(ctx, std::move(tape), {{numbers, {2, 5}}, {numbers + 10, {2, 5}}});
  attn_test::expect_golden_gradients(ctx, at, tolerance);
}

TEST(DeitGolden, DistilledHasTimmsLogitsAndGradientsOfBothHeads) {
  expect_golden_heads("softmax_training", Softmax{});
  expect_golden_heads("cube_training", Cube{});
}

TEST(DeitGolden, DistilledPredictsTheMeanOfBothHeads) {
  attn_test::expect_golden_model<models::Vit<Any>>("deit", "images", "distilled_state", "distilled_cube_evaluation",
                                                   small(Cube{}, true), tolerance);
}

TEST(DeitGolden, Deit3HasTimmsLogitsAndGradients) {
  attn_test::expect_golden_model<models::Vit<Any>>("deit", "images", "deit3_state", "deit3_softmax_training",
                                                   small(Softmax{}, false), tolerance);
  attn_test::expect_golden_model<models::Vit<Any>>("deit", "images", "deit3_state", "deit3_cube_evaluation",
                                                   small(Cube{}, false), tolerance);
}

TEST(Deit, IsAModuleWithEitherKindOfLogits) {
  models::VitConfig<Softmax> const config{.width = 4,
                                          .depth = 1,
                                          .heads = 2,
                                          .image_height = 4,
                                          .image_width = 6,
                                          .channels = 1,
                                          .patch_height = 2,
                                          .patch_width = 2,
                                          .classes = 3,
                                          .distilled = true,
                                          .embeds_prefix = false,
                                          .layer_scale = 0.5};
  nn::Context<Exec, double> mean, both;
  models::Vit<models::VitBlock<Softmax>> const vit(mean, config);
  EXPECT_SOUND(attn::testing::check_module(mean, vit, {2, 1, 4, 6}));
  models::Deit<models::VitBlock<Softmax>> const deit(both, config);
  EXPECT_SOUND(attn::testing::check_module(both, deit, {2, 1, 4, 6}));
}

TEST(Deit, SaysWhatItWants) {
  auto config = small(Softmax{}, true);
  config.pooled = nn::Pooled::mean;
  nn::Context<Exec> ctx, other;
  EXPECT_EQ(attn_test::error_of([&] { models::Deit<Any>(ctx, config); }),
            "Vit: let the heads of a distilled model see its class tokens, not the mean of the others");
  models::Vit<Any> const plain(other, small(Softmax{}, false));
  auto const images = attn_test::golden_array<float, 4>("deit/images");
  EXPECT_EQ(attn_test::error_of([&] { plain.forward_heads(other, images.tensor()); }),
            "Vit::forward_heads: ask a distilled model, which has two heads");
}

}  // namespace
