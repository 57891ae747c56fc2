// The whole model against an independent implementation: two sizes of images, training and evaluation, softmax and a
// cube with a trained scale.
#include "attn/activation/poly.hpp"
#include "attn/activation/softmax.hpp"
#include "attn/attention/any_activation.hpp"
#include "attn/io/safetensors.hpp"
#include "attn/models/xcit_names.hpp"

#include "golden_model.hpp"

namespace {

using namespace attn;
using Ctx = nn::Context<attn_test::Exec>;
using Xcit = models::Xcit<AnyActivation>;
using Config = models::XcitConfig<AnyActivation>;
using attn::testing::detail::host_numbers;
using Cube = Poly<3, DynamicScale>;

Config small(AnyActivation const& activation, bool tokens_norm = true) {
  return {.width = 16,
          .depth = 2,
          .heads = 2,
          .mlp_ratio = 2,
          .image_height = 32,
          .image_width = 24,
          .patch = 8,
          .classes = 5,
          .tokens_norm = tokens_norm,
          .activation = activation};
}

/// The acceptance bound is 1e-4; single precision leaves 1e-6 to 1e-5 here.
void expect_golden(std::string const& name, std::string const& size, bool training, Config const& config) {
  constexpr double tolerance = 3e-5;
  std::string const at = "xcit/" + name + "_";
  Ctx ctx;
  Xcit const model(ctx, config);
  attn_test::load_state(ctx, "xcit/state.safetensors");
  ctx.training = training;
  ctx.keep_tape = true;
  auto const images = attn_test::golden_array<float, 4>("xcit/" + size + "_images");
  auto const d_logits = attn_test::golden_array<float, 2>("xcit/d_logits");
  auto [logits, tape] = model.forward(ctx, images.tensor());
  EXPECT_SOUND(attn::testing::allclose(logits, attn_test::golden(at + "logits"), tolerance).about(name + " logits"));
  auto const d_images = model.backward_input(ctx, std::move(tape), d_logits.tensor());
  EXPECT_SOUND(
      attn::testing::allclose(d_images, attn_test::golden(at + "d_images"), tolerance).about(name + " d_images"));
  io::Safetensors const gradients(attn_test::golden_path(at + "gradients.safetensors"));
  EXPECT_EQ(gradients.tensors().size(), ctx.parameters.entries().size());
  for (auto const& e : ctx.parameters.entries()) {
    // Softmax does not see a bias of all keys: its gradient is zero but for rounding.
    double const scale = e.name.ends_with("attn.k.bias") ? 0.1 : 0;
    EXPECT_SOUND(attn::testing::allclose(ctx.parameters.host_gradients(e), gradients.array(e.name).as<double>(),
                                         tolerance, scale)
                     .about(name + " " + e.name));
  }
  if (!training) return;
  io::Safetensors const buffers(attn_test::golden_path(at + "buffers.safetensors"));
  EXPECT_EQ(buffers.tensors().size(), ctx.parameters.buffer_entries().size());
  for (auto const& e : ctx.parameters.buffer_entries()) {
    EXPECT_SOUND(attn::testing::allclose(ctx.parameters.value(e), buffers.array(e.name).as<double>(), tolerance)
                     .about(name + " " + e.name));
  }
}

TEST(XcitGolden, HasTimmsLogitsGradientsAndStatisticsInTraining) {
  expect_golden("softmax_training", "even", true, small(Softmax{}));
  expect_golden("cube_training", "odd", true, small(Cube{}, false));
}

TEST(XcitGolden, HasTimmsLogitsAndGradientsInEvaluation) {
  expect_golden("softmax_evaluation", "odd", false, small(Softmax{}, false));
  Config cube_with_softmax = small(Cube{});
  cube_with_softmax.class_activation = AnyActivation(Softmax{});
  expect_golden("cube_evaluation", "even", false, cube_with_softmax);
}

TEST(Xcit, AddsGradientsRepeatsItsBitsAndTakesNoMemoryAfterTheFirstStep) {
  Ctx ctx(1);
  Config config = small(Cube{});
  config.stochastic_depth = 0.2;
  config.dropout = 0.1;
  Xcit const model(ctx, config);
  auto const images = attn_test::random_array<float, 4>({3, 3, 40, 24}, 1);
  auto const step = [&] {
    ctx.begin_step();
    auto [logits, tape] = model.forward(ctx, images.tensor());
    auto numbers = host_numbers(logits);
    model.backward(ctx, std::move(tape), logits);
    for (double const g : host_numbers(ctx.parameters.gradients())) numbers.push_back(g);
    return numbers;
  };
  auto first = step();
  Index const capacity = ctx.workspace.capacity();
  ctx.parameters.zero_gradients(ctx.exec);
  EXPECT_SOUND(attn::testing::same_bits(step(), first));
  for (std::size_t i = 15; i < first.size(); ++i) first[i] *= 2;  // what follows 3 x 5 logits
  EXPECT_SOUND(attn::testing::allclose(step(), first, 1e-6));
  EXPECT_EQ(ctx.workspace.capacity(), capacity);
}

TEST(Xcit, GivesTheSameBitsForOneThreadAndForAll) {
  auto const images = attn_test::random_array<float, 4>({3, 3, 40, 24}, 1);
  std::vector<std::vector<double>> results;
  for (attn_test::Exec const& exec : {attn_test::Exec(), attn_test::one_thread()}) {
    Ctx ctx(1, exec);
    Xcit const model(ctx, small(Cube{}));
    auto [logits, tape] = model.forward(ctx, images.tensor());
    model.backward(ctx, std::move(tape), logits);
    results.push_back(host_numbers(ctx.parameters.gradients()));
    for (double const b : host_numbers(ctx.parameters.buffers())) results.back().push_back(b);
  }
  EXPECT_SOUND(attn::testing::same_bits(results[1], results[0]));
}

TEST(Xcit, EvaluationWithoutATapeGivesTheSameLogits) {
  Ctx ctx(1);
  Xcit const model(ctx, small(Softmax{}));
  auto const images = attn_test::random_array<float, 4>({2, 3, 24, 24}, 1);
  ctx.training = false;
  auto plain = model.forward(ctx, images.tensor());
  EXPECT_TRUE(model.attention_norms(ctx, plain.tape).empty());
  EXPECT_NE(attn_test::error_of([&] { model.backward(ctx, std::move(plain.tape), plain.value); }), "");
  ctx.keep_tape = true;
  EXPECT_SOUND(attn::testing::same_bits(model.forward(ctx, images.tensor()).value, plain.value));
}

TEST(Xcit, NormsAndWeightsAreOfChannelsThenOfTheClassToken) {
  Ctx ctx(1);
  Xcit const model(ctx, small(Softmax{}));
  auto const images = attn_test::random_array<float, 4>({2, 3, 16, 24}, 1);
  auto const forward = model.forward(ctx, images.tensor());
  auto const norms = model.attention_norms(ctx, forward.tape);
  ASSERT_EQ(norms.size(), 4u);
  for (Index layer = 0; layer < 4; ++layer) {
    double mean = 0;
    for (Index sample = 0; sample < 2; ++sample) {
      auto const weights = model.attention_weights(ctx, forward.tape, layer, sample);
      EXPECT_EQ(weights.extents(), layer < 2 ? (Extents<3>{2, 8, 8}) : (Extents<3>{2, 1, 7})) << layer;
      auto const w = host_numbers(weights);
      for (std::size_t head = 0; head < 2; ++head) {
        double squares = 0;
        for (std::size_t i = 0; i < w.size() / 2; ++i) squares += std::pow(w[head * w.size() / 2 + i], 2);
        mean += std::sqrt(squares) / 4;
      }
    }
    EXPECT_NEAR(norms[std::size_t(layer)].frobenius, mean, 1e-5) << layer;
    EXPECT_GT(norms[std::size_t(layer)].jacobian, 0) << layer;
  }
  EXPECT_EQ(attn_test::error_of([&] { model.attention_weights(ctx, forward.tape, 4, 0); }),
            "Xcit::attention_weights: choose one of 4 layers on the tape, got number 4");
}

TEST(Xcit, SaysWhichSizesItWants) {
  auto const error = [](auto const& change) {
    Ctx ctx;
    Config config = small(Softmax{});
    change(config);
    return attn_test::error_of([&] { Xcit(ctx, config); });
  };
  EXPECT_NE(error([](Config& c) { c.heads = 3; }).find("multiple of the heads"), std::string::npos);
  EXPECT_NE(error([](Config& c) { c.patch = 12; }).find("power of two"), std::string::npos);
  EXPECT_NE(error([](Config& c) { c.classes = 0; }).find("Xcit: "), std::string::npos);
  EXPECT_NE(error([](Config& c) { c.class_depth = 0; }).find("one layer of class attention"), std::string::npos);
}

}  // namespace
