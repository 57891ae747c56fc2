#include "attn/activation/activation.hpp"
#include "attn/io/npy.hpp"
#include "attn/io/safetensors.hpp"
#include "attn/models/sequence_classifier.hpp"
#include "attn/nn/context.hpp"
#include "attn/testing/check_module.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <span>
#include <string>
#include <utility>

#include "nn/packed_batch.hpp"

namespace {

using attn::DynamicScale;
using attn::FixedScale;
using attn::Index;
using attn::Poly;
using attn::Softmax;
using attn::models::SequenceClassifier;
using attn::nn::NystromAttention;
using attn::nn::PseudoInverseStart;
using attn::nn::SequenceAttention;
using attn::testing::on_device;
using attn::testing::on_host;
using attn::testing::PackedBatch;

template <class T>
using Ctx = attn::nn::Context<Kokkos::DefaultExecutionSpace, T>;

std::string path(std::string const& file) { return std::string(ATTN_GOLDEN_DIR) + "/nystrom/" + file; }

std::vector<std::vector<int>> golden_ids() {
  auto const array = attn::io::read_npy(path("ids.npy"));
  auto const values = array.as<std::int64_t>();
  std::size_t const length = array.shape[1];
  std::vector<std::vector<int>> ids;
  for (std::size_t b = 0; b < array.shape[0]; ++b) {
    ids.emplace_back(values.begin() + std::ptrdiff_t(b * length), values.begin() + std::ptrdiff_t((b + 1) * length));
  }
  return ids;
}

/// The largest difference, relative to the largest number of the file.
template <class T>
void expect_close(std::vector<T> const& got, std::vector<double> const& wanted, double tolerance,
                  std::string const& what) {
  ASSERT_EQ(got.size(), wanted.size()) << what;
  double scale = 1e-3, worst = 0;  // the gradient of W_k's bias is zero for softmax, but for rounding
  for (double const w : wanted) scale = std::max(scale, std::abs(w));
  for (std::size_t i = 0; i < got.size(); ++i) worst = std::max(worst, std::abs(double(got[i]) - wanted[i]));
  EXPECT_LE(worst / scale, tolerance) << what;
}

/// Logits and all gradients of a case of tests/golden/make_nystrom.py.
template <class T, class Core>
void expect_golden(std::string const& name,
                   typename attn::nn::Attention<attn::nn::ThreeMatrices, Core>::Config const& attention,
                   double tolerance, bool pairs = false) {
  SCOPED_TRACE(name);
  Ctx<T> ctx;
  SequenceClassifier<Core> const model(ctx, {.vocabulary = 11,
                                             .positions = 15,
                                             .length = 15,
                                             .classes = 3,
                                             .pairs = pairs,
                                             .width = 8,
                                             .heads = 2,
                                             .hidden = 12,
                                             .dropout = 0,
                                             .attention = attention});
  attn::io::Safetensors const weights(path(name + "_parameters.safetensors"));
  ASSERT_EQ(weights.tensors().size(), ctx.parameters.entries().size());
  for (auto const& entry : ctx.parameters.entries()) {
    auto const array = weights.array(entry.name);
    ASSERT_EQ(std::vector<Index>(array.shape.begin(), array.shape.end()), entry.shape) << entry.name;
    auto const values = array.template as<float>();
    ctx.parameters.assign(entry, std::span<float const>(values));
  }
  PackedBatch const batch(golden_ids(), 15);
  ctx.parameters.zero_gradients(ctx.exec);
  auto [logits, tape] = model.forward(ctx, batch.sequences, batch.ids);
  expect_close(on_host(logits), attn::io::read_npy(path(name + "_logits.npy")).as<double>(), tolerance, "logits");

  auto const numbers = attn::io::read_npy(path(name + "_d_logits.npy")).as<double>();
  auto const d_logits = on_device(std::vector<T>(numbers.begin(), numbers.end()));
  model.backward(ctx, std::move(tape), {d_logits.data(), logits.extents()});
  ctx.exec.fence();
  attn::io::Safetensors const gradients(path(name + "_gradients.safetensors"));
  for (auto const& entry : ctx.parameters.entries()) {
    expect_close(ctx.parameters.host_gradients(entry), gradients.array(entry.name).template as<double>(), tolerance,
                 entry.name);
  }

  ctx.training = false;  // without tapes, the same
  ctx.begin_step();
  auto const again = on_host(model.forward(ctx, batch.sequences, batch.ids).value);
  expect_close(again, attn::io::read_npy(path(name + "_logits.npy")).as<double>(), tolerance, "evaluation");
}

template <class A>
typename attn::nn::Attention<attn::nn::ThreeMatrices, NystromAttention<A>>::Config with(PseudoInverseStart start,
                                                                                        Index landmarks = 5) {
  return {.core = {.landmarks = landmarks, .taps = 5, .pseudo_inverse = {.start = start}}};
}

template <class T>
class SequenceClassifierGolden : public testing::Test {
 public:
  static constexpr double tolerance = sizeof(T) == 8 ? 1e-6 : 2e-4;  // the files are in single precision
};
using Reals = testing::Types<float, double>;
TYPED_TEST_SUITE(SequenceClassifierGolden, Reals);

TYPED_TEST(SequenceClassifierGolden, NystromSoftmaxGivesTheLogitsAndGradientsOfThePaddedImplementation) {
  using Core = NystromAttention<Softmax>;
  double const tolerance = this->tolerance;
  expect_golden<TypeParam, Core>("softmax", with<Softmax>(PseudoInverseStart::column_sum), tolerance);
  expect_golden<TypeParam, Core>("softmax_norms", with<Softmax>(PseudoInverseStart::norms), tolerance);
  expect_golden<TypeParam, Core>("softmax_pairs", with<Softmax>(PseudoInverseStart::column_sum), tolerance, true);
}

TYPED_TEST(SequenceClassifierGolden, AsManyLandmarksAsPositionsAreFullAttention) {
  using Core = NystromAttention<Softmax>;
  expect_golden<TypeParam, Core>("softmax_all_landmarks", with<Softmax>(PseudoInverseStart::norms, 15),
                                 this->tolerance);
  expect_golden<TypeParam, SequenceAttention<Softmax>>("softmax_full", {}, this->tolerance);
}

TYPED_TEST(SequenceClassifierGolden, ATrainedScaleOnAllThreeFactors) {
  using Dynamic = Poly<3, DynamicScale>;
  expect_golden<TypeParam, NystromAttention<Dynamic>>("poly3_dynamic", with<Dynamic>(PseudoInverseStart::norms),
                                                      this->tolerance);
}

TEST(SequenceClassifier, PolynomialsOnAllThreeFactorsEqualThePaddedImplementation) {
  auto const start = PseudoInverseStart::norms;
  double const tolerance = 1e-6;
  using Fixed = Poly<3, FixedScale>;
  expect_golden<double, NystromAttention<Poly<1>>>("poly1", with<Poly<1>>(start), tolerance);
  expect_golden<double, NystromAttention<Poly<2>>>("poly2", with<Poly<2>>(start), tolerance);
  expect_golden<double, NystromAttention<Fixed>>("poly3_fixed", with<Fixed>(start), tolerance);
  expect_golden<double, SequenceAttention<Fixed>>("poly3_full", {}, tolerance);
  auto none = with<Fixed>(start);  // c = 1
  none.activation = {{1.0}};
  expect_golden<double, NystromAttention<Fixed>>("poly3", none, tolerance);
}

template <class Core>
Index parameters_of(Index vocabulary, Index positions, Index classes, bool pairs = false) {
  Ctx<float> ctx;
  SequenceClassifier<Core> const model(
      ctx, {.vocabulary = vocabulary, .positions = positions, .length = positions, .classes = classes, .pairs = pairs});
  return ctx.parameters.count();
}

TEST(SequenceClassifier, ParameterCountsAreThePublishedOnes) {
  using Nystrom = NystromAttention<Softmax>;
  using Full = SequenceAttention<Softmax>;
  EXPECT_EQ(parameters_of<Nystrom>(32, 2048, 10), 209942);        // ListOps
  EXPECT_EQ(parameters_of<Nystrom>(512, 1024, 2), 174094);        // Text, 1024 bytes
  EXPECT_EQ(parameters_of<Nystrom>(512, 4096, 2), 370702);        // Text, 4096 bytes
  EXPECT_EQ(parameters_of<Nystrom>(512, 4096, 2, true), 395278);  // Retrieval
  EXPECT_EQ(parameters_of<Nystrom>(512, 1024, 10), 175126);       // Image
  EXPECT_EQ(parameters_of<Nystrom>(512, 1024, 2), 174094);        // Pathfinder
  EXPECT_EQ(parameters_of<Full>(32, 2048, 10), 209802);
  EXPECT_EQ(parameters_of<Full>(512, 4096, 2, true), 395138);
  EXPECT_EQ((parameters_of<NystromAttention<Poly<3, DynamicScale>>>(32, 2048, 10)), 209942 + 2);  // one a layer
  EXPECT_EQ((parameters_of<NystromAttention<Poly<3, DynamicScale>, Softmax, Poly<3, DynamicScale>>>(32, 2048, 10)),
            209942 + 4);
}

TEST(SequenceClassifier, ParametersHaveTheirPublishedNames) {
  Ctx<float> ctx;
  SequenceClassifier<NystromAttention<Softmax>> const model(
      ctx, {.vocabulary = 32, .positions = 64, .length = 64, .classes = 10});
  for (char const* name :
       {"model.embeddings.word_embeddings.weight", "model.embeddings.position_embeddings.weight",
        "model.transformer_0.norm1.weight", "model.transformer_1.mha.W_q.weight", "model.transformer_0.mha.W_k.bias",
        "model.transformer_0.mha.W_v.weight", "model.transformer_1.mha.attn.conv.weight",
        "model.transformer_0.mha.ff.weight", "model.transformer_0.norm2.bias", "model.transformer_0.mlpblock.0.weight",
        "model.transformer_0.mlpblock.3.bias", "model.norm.weight", "seq_classifer.mlpblock.0.weight",
        "seq_classifer.mlpblock.2.bias"}) {
    EXPECT_TRUE(ctx.parameters.contains(name)) << name;
  }
  EXPECT_EQ(ctx.parameters.entry("model.transformer_0.mha.attn.conv.weight").shape, (std::vector<Index>{2, 1, 35, 1}));
}

TEST(SequenceClassifier, DecaysMatricesTablesAndKernelsAlone) {
  Ctx<float> ctx;
  SequenceClassifier<NystromAttention<Poly<3, DynamicScale>>> const model(
      ctx, {.vocabulary = 5,
            .positions = 9,
            .length = 9,
            .classes = 2,
            .attention = with<Poly<3, DynamicScale>>(PseudoInverseStart::norms, 3)});
  for (auto const& e : ctx.parameters.entries()) EXPECT_EQ(e.decays, e.shape.size() > 1) << e.name;
}

TEST(SequenceClassifier, PaddingHalvesTheMeanOfTheTokens) {
  Ctx<double> ctx;
  auto const pooled = [&](std::size_t tokens) {
    std::vector<int> ids(8, 0);
    std::fill_n(ids.begin(), tokens, 1);
    PackedBatch const batch({ids}, 8);
    auto const x = on_device(std::vector<double>(std::size_t(batch.sequences.rows()), 3.0));
    return on_host(attn::nn::pool_sequences<Ctx<double>>(ctx, batch.sequences, {x.data(), {batch.sequences.rows(), 1}}))
        .at(0);
  };
  EXPECT_EQ(pooled(8), 3.0);
  EXPECT_EQ(pooled(4), 1.5);
  EXPECT_EQ(pooled(0), 0.0);
}

template <class Core>
std::vector<float> logits_of(std::vector<std::vector<int>> const& ids) {
  Ctx<float> ctx(5);
  SequenceClassifier<Core> const model(ctx, {.vocabulary = 11,
                                             .positions = 20,
                                             .length = 20,
                                             .classes = 3,
                                             .width = 8,
                                             .hidden = 12,
                                             .attention = {.core = {.landmarks = 7}}});
  ctx.training = false;
  PackedBatch const batch(ids, 20);
  return on_host(model.forward(ctx, batch.sequences, batch.ids).value);
}

TEST(SequenceClassifier, AnEmptySequenceHasTheLogitsOfZeroAndHarmsNobody) {
  using Core = NystromAttention<Poly<3, FixedScale>>;
  auto const alone = logits_of<Core>({{1, 2, 3}});
  auto const both = logits_of<Core>({{}, {1, 2, 3}, {}});
  for (int c = 0; c < 3; ++c) {
    EXPECT_TRUE(std::isfinite(both[std::size_t(c)]));
    EXPECT_NEAR(both[std::size_t(3 + c)], alone[std::size_t(c)], 1e-6);
    EXPECT_EQ(both[std::size_t(c)], both[std::size_t(6 + c)]);
  }
  auto const nothing = logits_of<NystromAttention<Softmax>>({{}, {}});
  EXPECT_EQ(nothing[0], nothing[3]);
  EXPECT_TRUE(std::isfinite(nothing[0]));
}

TEST(SequenceClassifier, TrainingOnOnlyEmptySequencesGivesFiniteGradients) {
  Ctx<float> ctx(5);
  SequenceClassifier<NystromAttention<Softmax>> const model(ctx, {.vocabulary = 11,
                                                                  .positions = 20,
                                                                  .length = 20,
                                                                  .classes = 3,
                                                                  .width = 8,
                                                                  .hidden = 12,
                                                                  .attention = {.core = {.landmarks = 4}}});
  PackedBatch const batch({{}, {}}, 20);
  ctx.parameters.zero_gradients(ctx.exec);
  auto [logits, tape] = model.forward(ctx, batch.sequences, batch.ids);
  auto const d = on_device(std::vector<float>(6, 1.0f));
  model.backward(ctx, std::move(tape), {d.data(), {2, 3}});
  for (float const g : on_host(ctx.parameters.gradients())) ASSERT_TRUE(std::isfinite(g));
}

TEST(SequenceClassifier, WrongUseIsRefused) {
  Ctx<float> ctx;
  using Model = SequenceClassifier<NystromAttention<Softmax>>;
  EXPECT_THROW(Model(ctx, {.vocabulary = 11, .positions = 8, .length = 9, .classes = 3}), attn::Error);
  EXPECT_THROW(
      Model(ctx / "a",
            {.vocabulary = 11, .positions = 8, .length = 8, .classes = 3, .attention = {.core = {.landmarks = 9}}}),
      attn::Error);
  Model const pairs(ctx / "b", {.vocabulary = 11, .positions = 64, .length = 64, .classes = 3, .pairs = true});
  PackedBatch const batch({{1}, {2}, {3}}, 64);
  EXPECT_THROW(pairs.forward(ctx, batch.sequences, batch.ids), attn::Error);
}

TEST(SequenceClassifier, IsAModule) {
  for (bool const pairs : {false, true}) {
    Ctx<double> ctx;
    SequenceClassifier<NystromAttention<Softmax>> const model(
        ctx, {.vocabulary = 5,
              .positions = 6,
              .length = 6,
              .classes = 2,
              .pairs = pairs,
              .width = 4,
              .heads = 2,
              .depth = 1,
              .hidden = 3,
              .dropout = 0,
              .attention = with<Softmax>(PseudoInverseStart::norms, 3)});
    PackedBatch const batch({{1, 2, 0, 3, 4, 0}, {2, 0, 0, 0, 0, 0}}, 6);
    auto const verdict = attn::testing::check_module(ctx, model, std::pair(batch.sequences, batch.ids),
                                                     {.gradients = {.step = 1e-3, .tolerance = 1e-6}});
    EXPECT_TRUE(verdict) << verdict.message();
  }
}

}  // namespace
