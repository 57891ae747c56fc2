#include "attn/activation/poly.hpp"
#include "attn/activation/softmax.hpp"
#include "attn/models/vit_names.hpp"
#include "attn/nn/fine_tuning.hpp"
#include "attn/testing/check_module.hpp"

#include <fstream>

#include "golden_vit.hpp"

namespace {

using namespace attn;
using attn_test::Ctx;
using attn_test::Exec;
using attn_test::Vit;

TEST(Vit, IsAModule) {
  for (nn::Pooled const pooled : {nn::Pooled::class_token, nn::Pooled::mean}) {
    Ctx<double> ctx;
    Vit<Poly<3, DynamicScale>> const model(ctx, {.width = 6,
                                                 .depth = 2,
                                                 .heads = 2,
                                                 .mlp_ratio = 1.5,
                                                 .image_height = 8,
                                                 .image_width = 6,
                                                 .channels = 2,
                                                 .patch_height = 4,
                                                 .patch_width = 3,
                                                 .classes = 3,
                                                 .pooled = pooled});
    EXPECT_SOUND(attn::testing::check_module(ctx, model, {2, 2, 8, 6}));
    EXPECT_EQ(ctx.parameters.contains("fc_norm.weight"), pooled == nn::Pooled::mean);
    EXPECT_EQ(ctx.parameters.contains("norm.weight"), pooled == nn::Pooled::class_token);
  }
}

TEST(Vit, IsAModuleWithOnePatchWithManyAndWithNoise) {
  for (auto const [height, width] : {std::array<Index, 2>{2, 2}, {2, 34}}) {
    Ctx<double> ctx;
    Vit<Softmax> const model(ctx, {.width = 4,
                                   .depth = 1,
                                   .heads = 1,
                                   .image_height = height,
                                   .image_width = width,
                                   .channels = 1,
                                   .patch_height = 2,
                                   .patch_width = 2,
                                   .classes = 2,
                                   .dropout = 0.2,
                                   .stochastic_depth = 0.3});
    EXPECT_SOUND(attn::testing::check_module(ctx, model, {2, 1, height, width}, {.noisy = true}));
  }
}

/// Name and extents of each parameter, a line each, as in tests/golden/layouts.
void expect_layout(std::string const& file, models::VitConfig<Softmax> const& config, Index count) {
  Ctx<float> ctx;
  Vit<Softmax> const model(ctx, config);
  EXPECT_EQ(ctx.parameters.count(), count) << file;
  std::ifstream lines(attn_test::golden_path("layouts/" + file + ".txt"));
  ASSERT_TRUE(lines) << file;
  std::size_t i = 0;
  for (std::string line; std::getline(lines, line); ++i) {
    if (line.empty()) continue;
    ASSERT_LT(i, ctx.parameters.entries().size());
    auto const& e = ctx.parameters.entries()[i];
    std::string got = e.name + "\t";
    for (std::size_t r = 0; r < e.shape.size(); ++r) got += (r > 0 ? "," : "") + std::to_string(e.shape[r]);
    EXPECT_EQ(got, line);
  }
  EXPECT_EQ(i, ctx.parameters.entries().size());
}

TEST(Vit, HasTheNamesShapesAndCountsOfThePublishedModels) {
  expect_layout("vit_base_patch16_224", *models::vit_config<Softmax>("vit_base_patch16_224"), 86'567'656);
  expect_layout("vit_tiny_patch16_224", *models::vit_config<Softmax>("vit_tiny_patch16_224"), 5'717'416);
  auto const tiny = [](Index patch_height, Index patch_width) {
    auto config = *models::vit_config<Softmax>("vit_tiny_patch16_224");
    config.image_height = config.image_width = 64;
    config.classes = 200;
    config.patch_height = patch_height;
    config.patch_width = patch_width;
    return config;
  };
  expect_layout("vit_tiny_patch4_64", tiny(4, 4), 5'436'296);
  expect_layout("vit_tiny_patch8_64", tiny(8, 8), 5'427'080);
  expect_layout("vit_tiny_patch16_64", tiny(16, 16), 5'528'456);
  expect_layout("vit_tiny_patch16x32_64", tiny(16, 32), 5'674'376);
}

TEST(Vit, ATrainedScaleAddsOneNumberALayer) {
  Ctx<float> ctx;
  Vit<Poly<3, DynamicScale>> const model(ctx, *models::vit_config<Poly<3, DynamicScale>>("vit_base_patch16_224"));
  EXPECT_EQ(ctx.parameters.count(), 86'567'656 + 12);
  auto const& scale = ctx.parameters.entry("blocks.11.attn.activation.scale");
  EXPECT_FLOAT_EQ(float(nn::draw(scale.initializer, {}, 0)), 1 / std::sqrt(197.0f));
}

TEST(Vit, DecaysMatricesAndKernelsAlone) {
  Ctx<float> ctx;
  Vit<Poly<3, DynamicScale>> const model(ctx, attn_test::golden_config(Poly<3, DynamicScale>{}));
  for (auto const& e : ctx.parameters.entries()) {
    EXPECT_EQ(e.decays, e.shape.size() > 1 && e.name != "cls_token" && e.name != "pos_embed") << e.name;
  }
}

TEST(Vit, SaysWhichOfItsParametersAdapt) {
  Ctx<float> ctx;
  Vit<Softmax> const model(ctx, {.width = 12, .depth = 1, .heads = 3, .image_width = 112, .classes = 5});
  for (auto const& e : ctx.parameters.entries()) {
    EXPECT_EQ(std::holds_alternative<nn::ClassRows>(e.adapts), e.name.starts_with("head.")) << e.name;
    EXPECT_EQ(std::holds_alternative<nn::PositionGrid>(e.adapts), e.name == "pos_embed") << e.name;
  }
  auto const grid = std::get<nn::PositionGrid>(ctx.parameters.entry("pos_embed").adapts);
  EXPECT_EQ(std::tuple(grid.height, grid.width, grid.prefix), std::tuple(14, 7, 1));
  Ctx<float> d;
  Vit<Softmax> const distilled(d, *models::vit_config<Softmax>("deit_tiny_distilled_patch16_224"));
  EXPECT_EQ(std::get<nn::PositionGrid>(d.parameters.entry("pos_embed").adapts).prefix, 2);
  EXPECT_TRUE(std::holds_alternative<nn::ClassRows>(d.parameters.entry("head_dist.weight").adapts));
}

TEST(Vit, LayerWiseRatesAreTimms) {
  Ctx<float> ctx;
  Vit<Softmax> const model(ctx, {.width = 12, .depth = 3, .heads = 3, .classes = 5});
  nn::set_layer_decay(ctx.parameters, 0.75, model.layers());
  std::ifstream file(attn_test::golden_path("optim/layer_decay.txt"));
  std::string name;
  std::size_t read = 0;
  for (double factor = 0; file >> name >> factor; ++read) {
    EXPECT_EQ(ctx.parameters.entry(name).learning_rate_factor, factor) << name;
  }
  EXPECT_EQ(read, ctx.parameters.entries().size());
}

TEST(Vit, StochasticDepthGrowsLinearlyOverTheLayers) {
  // With a rate near 1 at the end, the last block is nearly always left out, and the first never.
  Ctx<float> ctx(1);
  Vit<Softmax> const model(ctx, {.width = 8,
                                 .depth = 2,
                                 .heads = 2,
                                 .image_height = 4,
                                 .image_width = 4,
                                 .channels = 1,
                                 .patch_height = 2,
                                 .patch_width = 2,
                                 .classes = 2,
                                 .stochastic_depth = 0.999});
  auto const images = attn_test::random_array<float, 4>({4, 1, 4, 4}, 1);
  auto [logits, tape] = model.forward(ctx, images.tensor());
  auto [loss, d_logits] = nn::cross_entropy(ctx, logits, attn_test::Array<std::int32_t, 1>({4}).tensor());
  model.backward(ctx, std::move(tape), d_logits);
  auto const largest = [&](std::string const& name) {
    double m = 0;
    for (float const g : ctx.parameters.host_gradients(ctx.parameters.entry(name)))
      m = std::max(m, std::abs(double(g)));
    return m;
  };
  EXPECT_GT(largest("blocks.0.mlp.fc2.bias"), 0.0);
  EXPECT_EQ(largest("blocks.1.mlp.fc2.bias"), 0.0);
}

TEST(Vit, EvaluationGivesTheLogitsOfTrainingWithoutNoiseInLessMemory) {
  Ctx<float> ctx(1), evaluated(1);
  Vit<Softmax> const a(ctx, {.width = 24, .depth = 8, .heads = 3, .image_height = 32, .image_width = 32, .classes = 5}),
      b(evaluated, {.width = 24, .depth = 8, .heads = 3, .image_height = 32, .image_width = 32, .classes = 5});
  evaluated.training = false;
  auto const images = attn_test::random_array<float, 4>({96, 3, 32, 32}, 1);
  auto const y = a.forward(ctx, images.tensor()).value, z = b.forward(evaluated, images.tensor()).value;
  EXPECT_SOUND(attn::testing::same_bits(z, y));
  EXPECT_LE(evaluated.workspace.capacity(), ctx.workspace.capacity());
}

TEST(Vit, NormsAndWeightsOfItsLayersComeFromTheTape) {
  Ctx<float> ctx(1);
  Vit<Softmax> const model(ctx, attn_test::golden_config<Softmax>());
  auto const images = attn_test::random_array<float, 4>({2, 3, 16, 12}, 1);
  ctx.training = false;
  EXPECT_TRUE(model.attention_norms(ctx, model.forward(ctx, images.tensor()).tape).empty());
  ctx.keep_tape = true;
  auto const forward = model.forward(ctx, images.tensor());
  auto const norms = model.attention_norms(ctx, forward.tape);
  ASSERT_EQ(norms.size(), 2u);
  for (Index layer = 0; layer < 2; ++layer) {
    double mean = 0;
    for (Index sample = 0; sample < 2; ++sample) {
      auto const w = attn::testing::detail::host_numbers(model.attention_weights(ctx, forward.tape, layer, sample));
      ASSERT_EQ(w.size(), std::size_t(3 * 13 * 13));
      for (int head = 0; head < 3; ++head) {
        double squares = 0;
        for (int i = 0; i < 169; ++i) squares += std::pow(w[std::size_t(head * 169 + i)], 2);
        mean += std::sqrt(squares) / 6;
      }
    }
    EXPECT_NEAR(norms[std::size_t(layer)].frobenius, mean, 1e-5);
    EXPECT_GT(norms[std::size_t(layer)].jacobian, 0);
  }
  EXPECT_NE(attn_test::error_of([&] { model.attention_weights(ctx, forward.tape, 2, 0); }), "");
}

TEST(Vit, SaysWhichSizesItWants) {
  Ctx<float> ctx;
  EXPECT_NE(attn_test::error_of([&] { Vit<Softmax>(ctx, {.width = 192, .heads = 5}); }).find("multiple of the heads"),
            std::string::npos);
  Ctx<float> b;
  EXPECT_NE(attn_test::error_of([&] { Vit<Softmax>(b, {.image_height = 225}); }).find("patch that divides the image"),
            std::string::npos);
  Ctx<float> c;
  EXPECT_NE(attn_test::error_of([&] { Vit<Softmax>(c, {.classes = 0}); }).find("Vit: "), std::string::npos);
  Ctx<float> d;
  Vit<Softmax> const model(d, attn_test::golden_config<Softmax>());
  attn_test::Array<float, 4> const wrong({2, 3, 12, 16}), images({2, 3, 16, 12});
  attn_test::Array<float, 2> const d_logits({3, 7});
  EXPECT_NE(attn_test::error_of([&] { model.forward(d, wrong.tensor()); }).find("got (2, 3, 12, 16)"),
            std::string::npos);
  auto forward = model.forward(d, images.tensor());
  EXPECT_NE(attn_test::error_of([&] { model.backward(d, std::move(forward.tape), d_logits.tensor()); }), "");
  d.training = false;
  auto evaluated = model.forward(d, images.tensor());
  EXPECT_NE(attn_test::error_of([&] { model.backward(d, std::move(evaluated.tape), evaluated.value); }), "");
}

}  // namespace
