#include "attn/activation/poly.hpp"
#include "attn/activation/softmax.hpp"
#include "attn/models/swin.hpp"
#include "attn/nn/fine_tuning.hpp"
#include "attn/testing/check_module.hpp"

#include <fstream>

#include "golden_model.hpp"

namespace {

using namespace attn;
using attn_test::Exec;
template <class T>
using Ctx = nn::Context<Exec, T>;

TEST(Swin, IsAModule) {
  // A map of 3 x 4 pixels behind an image with a rest, in shifted windows of which some are not full; then one of 2 x
  // 2, in windows of 2 x 1 that lie side by side.
  Ctx<double> ctx;
  models::Swin<Poly<3, DynamicScale>> const model(ctx, {.width = 4,
                                                        .depths = {2, 1},
                                                        .heads = {1, 2},
                                                        .windows = {2, {3, 1}},
                                                        .mlp_ratio = 1.5,
                                                        .image_height = 7,
                                                        .image_width = 8,
                                                        .channels = 1,
                                                        .patch = 2,
                                                        .classes = 3});
  EXPECT_SOUND(attn::testing::check_module(ctx, model, {1, 1, 7, 8}));
}

/// The Swin of tests/golden/make_swin.py, on images of prime sides or of even ones.
models::SwinConfig<nn::AnyWindowActivation> small(nn::AnyWindowActivation const& activation, bool prime) {
  return {.width = 8,
          .depths = {2, 2, 1},
          .heads = {1, 2, 4},
          .windows = prime ? std::vector<nn::Size2>{4} : std::vector<nn::Size2>{2, 3, 2},
          .mlp_ratio = 2,
          .image_height = prime ? 23 : 16,
          .image_width = prime ? 29 : 24,
          .patch = 2,
          .classes = 5,
          .activation = activation};
}
using Small = models::Swin<nn::AnyWindowActivation>;
using Cube = Poly<3, DynamicScale>;

/// The acceptance bound is 1e-4; single precision leaves 1e-6 to 4e-5 here.
void expect_golden(std::string const& size, std::string const& name, nn::AnyWindowActivation const& activation) {
  attn_test::expect_golden_model<Small>("swin", size + "_images", size + "_state", size + "_" + name,
                                        small(activation, size == "prime"), 6e-5);
}

TEST(SwinGolden, WithSoftmaxHasTimmsLogitsAndGradients) { expect_golden("prime", "softmax_training", Softmax{}); }

TEST(SwinGolden, WithATrainedCubeHasTimmsLogitsAndGradientsUnderAMaskOfWeights) {
  expect_golden("prime", "cube_training", Cube{});
}

TEST(SwinGolden, WithAWindowForEachStageHasTimmsLogitsAndGradientsInEvaluation) {
  expect_golden("even", "cube_evaluation", Cube{});
}

TEST(Swin, LayerWiseRatesAreTimms) {
  Ctx<float> ctx;
  Small const model(ctx, small(Softmax{}, true));
  nn::set_layer_decay(ctx.parameters, 0.75, model.layers());
  std::ifstream file(attn_test::golden_path("swin/layer_decay.txt"));
  std::string name;
  std::size_t read = 0;
  for (double factor = 0; file >> name >> factor; ++read) {
    EXPECT_EQ(ctx.parameters.entry(name).learning_rate_factor, factor) << name;
  }
  EXPECT_EQ(read, ctx.parameters.entries().size());
}

TEST(Swin, SaysWhichOfItsParametersDecayAndAdapt) {
  Ctx<float> ctx;
  auto config = small(Cube{}, true);
  config.scale_tokens = 196;
  Small const model(ctx, config);
  for (auto const& e : ctx.parameters.entries()) {
    bool const table = e.name.ends_with("relative_position_bias_table");
    EXPECT_EQ(e.decays, e.shape.size() > 1 && !table) << e.name;
    EXPECT_EQ(std::holds_alternative<nn::ClassRows>(e.adapts), e.name.starts_with("head.fc.")) << e.name;
    EXPECT_EQ(std::holds_alternative<nn::RelativePositions>(e.adapts), table) << e.name;
    if (e.name.ends_with("activation.scale")) {
      EXPECT_EQ(nn::draw(e.initializer, {}, 0), 1.0 / 14) << e.name;
    }
  }
}

TEST(Swin, NormsAndWeightsAreThoseOfWindows) {
  Ctx<float> ctx(1);
  Small const model(ctx, small(Softmax{}, true));
  attn_test::load_state(ctx, "swin/prime_state.safetensors");
  auto const images = attn_test::golden_array<float, 4>("swin/prime_images");
  auto const tape = model.forward(ctx, images.tensor()).tape;
  auto const norms = model.attention_norms(ctx, tape);
  ASSERT_EQ(norms.size(), 5u);
  double mean = 0;
  for (Index sample = 0; sample < 2; ++sample) {
    // The first shifted block: a map of 11 x 14 pixels in 3 x 4 windows of 16, and one head.
    auto const w = attn::testing::detail::host_numbers(model.attention_weights(ctx, tape, 1, sample));
    ASSERT_EQ(w.size(), std::size_t(12 * 16 * 16));
    for (std::size_t window = 0; window < 12; ++window) {
      double squares = 0;
      for (std::size_t query = 0; query < 16; ++query) {
        double sum = 0;
        for (std::size_t key = 0; key < 16; ++key) {
          double const weight = w[(window * 16 + query) * 16 + key];
          sum += weight;
          squares += weight * weight;
          bool const far = window >= 8 && (query / 8 != key / 8);  // the lower windows: rows of both ends of the map
          if (far) {
            EXPECT_EQ(weight, 0);
          }
        }
        EXPECT_NEAR(sum, 1, 1e-5);
      }
      mean += std::sqrt(squares) / 24;
    }
  }
  EXPECT_NEAR(norms[1].frobenius, mean, 1e-5);
  EXPECT_NE(attn_test::error_of([&] { model.attention_weights(ctx, tape, 5, 0); }), "");
  EXPECT_NE(attn_test::error_of([&] { model.attention_weights(ctx, tape, 0, 2); }), "");
}

TEST(Swin, SaysWhichSizesItWants) {
  auto const error_of = [](auto const& change) {
    auto config = small(Softmax{}, true);
    change(config);
    Ctx<float> ctx;
    return attn_test::error_of([&] { Small(ctx, config); });
  };
  EXPECT_EQ(
      error_of([](auto& c) {
        c.heads = {1, 2};
      }),
      "Swin: give at least one stage, as many numbers of heads as depths, and one window or as many, got 3 depths, "
      "2 numbers of heads and 1 windows");
  EXPECT_NE(error_of([](auto& c) { c.depths = {2, 0, 1}; }).find("at least one block"), std::string::npos);
  EXPECT_NE(error_of([](auto& c) { c.image_width = 1; }), "");
}

}  // namespace
