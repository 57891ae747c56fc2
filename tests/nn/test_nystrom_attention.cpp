#include "attn/activation/activation.hpp"
#include "attn/nn/attention.hpp"
#include "attn/nn/nystrom_attention.hpp"
#include "attn/testing/check_module.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <span>

#include "nn/packed_batch.hpp"

namespace {

using attn::DynamicScale;
using attn::FixedScale;
using attn::Index;
using attn::Poly;
using attn::Softmax;
using attn::nn::NystromAttention;
using attn::nn::PseudoInverseStart;
using attn::nn::SequenceAttention;
using attn::testing::on_device;
using attn::testing::on_host;
using attn::testing::PackedBatch;
using attn::testing::random_numbers;

using Ctx = attn::nn::Context<Kokkos::DefaultExecutionSpace, double>;
using Matrix = attn::nn::ConstTensorOf<Ctx, 3>;  // (1, rows, C)

constexpr Index width = 6, heads = 2, length = 11;

/// Padded behind, with holes, empty, one token; 11 positions, which 4 landmarks do not divide.
PackedBatch batch_of_four() {
  return PackedBatch({{1, 1, 1, 1, 1, 1, 1, 0, 0, 0, 0}, {0, 1, 0, 1, 1, 0, 0, 1, 1, 1, 1}, {}, {0, 0, 0, 0, 1}},
                     length);
}

template <class Core>
using Config = typename attn::nn::Attention<attn::nn::ThreeMatrices, Core>::Config;

template <class Core>
Core make_core(attn::nn::Builder const& builder, Config<Core> const& c) {
  return Core(builder,
              {.width = c.width,
               .heads = c.heads,
               .tokens = c.tokens,
               .activation = c.activation,
               .scale_per_head = c.scale_per_head},
              c.core);
}

/// The core's output for q, k and v of packed sequences, and what it keeps.
template <class Core>
auto run(Ctx& ctx, Core const& core, attn::nn::PackedSequences<Ctx::MemorySpace> const& sequences, Matrix q, Matrix k,
         Matrix v) {
  attn::nn::WithSequences const packed(ctx, {.packed = sequences});
  return core.forward(ctx, core.call(ctx, q), q, k, v);
}

/// q, k and v with what is computed from them: y, and the gradients of q, k, v and all parameters for d_y = r.
template <class Core>
struct Case {
  PackedBatch batch = batch_of_four();
  Ctx ctx{3};
  Core core;
  std::vector<double> inputs = random_numbers<double>(3 * size(), 5, 0.8);  // q, k, v
  std::vector<double> r = random_numbers<double>(size(), 6);

  explicit Case(Config<Core> const& config) : core(make_core<Core>(ctx / "core", config)) {
    for (auto const& entry : ctx.parameters.entries()) {
      auto const values = random_numbers<double>(std::size_t(entry.size), 7 + std::uint64_t(entry.offset), 0.3);
      auto shifted = values;
      if (entry.name.ends_with("scale")) {
        for (double& x : shifted) x += 0.8;
      }
      ctx.parameters.assign(entry, std::span<double const>(shifted));
    }
  }

  std::size_t size() const { return std::size_t(batch.sequences.rows() * width); }
  Matrix input(Kokkos::View<double*> const& all, int which) const {
    return {all.data() + std::size_t(which) * size(), {1, batch.sequences.rows(), width}};
  }

  std::vector<double> forward() {
    ctx.begin_step();
    auto const all = on_device(inputs);
    auto const y = run(ctx, core, batch.sequences, input(all, 0), input(all, 1), input(all, 2)).value;
    return on_host(y);
  }
  double loss() {
    auto const y = forward();
    double sum = 0;
    for (std::size_t i = 0; i < y.size(); ++i) sum += r[i] * y[i];
    return sum;
  }

  /// d_q, d_k, d_v, one after the other; those of parameters are in `ctx`.
  std::vector<double> gradients() {
    ctx.begin_step();
    ctx.parameters.zero_gradients(ctx.exec);
    auto const all = on_device(inputs), d_y = on_device(r);
    Kokkos::View<double*> const d("d", inputs.size());
    auto const part = [&](int which) {
      return attn::nn::TensorOf<Ctx, 3>(d.data() + std::size_t(which) * size(), {1, batch.sequences.rows(), width});
    };
    auto [y, tape] = run(ctx, core, batch.sequences, input(all, 0), input(all, 1), input(all, 2));
    attn::nn::WithSequences const packed(ctx, {.packed = batch.sequences});
    core.backward(ctx, core.call(ctx, y), std::move(tape), input(all, 0), input(all, 1), input(all, 2), Matrix(y),
                  Matrix(d_y.data(), y.extents()), part(0), part(1), part(2));
    ctx.exec.fence();
    return on_host(attn::Tensor<double, 1>(d));
  }

  void expect_gradients(attn::testing::GradcheckOptions const& options = {.step = 1e-3, .tolerance = 1e-6}) {
    auto const d_inputs = gradients();
    auto const of_input = [&](std::size_t i, double shift) {
      double const before = inputs[i];
      inputs[i] += shift;
      double const value = loss();
      inputs[i] = before;
      return value;
    };
    EXPECT_TRUE(attn::testing::gradcheck(of_input, d_inputs, options)) << "q, k, v";
    for (auto const& entry : ctx.parameters.entries()) {
      auto const gradient = ctx.parameters.host_gradients(entry);
      auto const values = ctx.parameters.host_values(entry);
      auto const of_parameter = [&](std::size_t i, double shift) {
        auto shifted = values;
        shifted[i] += shift;
        ctx.parameters.assign(entry, std::span<double const>(shifted));
        double const value = loss();
        ctx.parameters.assign(entry, std::span<double const>(values));
        return value;
      };
      EXPECT_TRUE(attn::testing::gradcheck(of_parameter, gradient, options)) << entry.name;
    }
  }
};

template <class A1, class A2 = A1, class A3 = A2>
Config<NystromAttention<A1, A2, A3>> config(Index landmarks = 4) {
  return {.width = width, .heads = heads, .tokens = length, .core = {.landmarks = landmarks, .taps = 5}};
}

template <class A>
class NystromGradients : public testing::Test {};
using Activations =
    testing::Types<Softmax, Poly<1, FixedScale>, Poly<2, FixedScale>, Poly<3, FixedScale>, Poly<4, FixedScale>,
                   Poly<5, FixedScale>, Poly<6, FixedScale>, Poly<1, DynamicScale>, Poly<2, DynamicScale>,
                   Poly<3, DynamicScale>, Poly<4, DynamicScale>, Poly<5, DynamicScale>, Poly<6, DynamicScale>>;
TYPED_TEST_SUITE(NystromGradients, Activations);

TYPED_TEST(NystromGradients, AgreeWithFiniteDifferencesThroughEverything) {
  Case<NystromAttention<TypeParam>>(config<TypeParam>()).expect_gradients();
}

TYPED_TEST(NystromGradients, AgreeWithFiniteDifferencesInFullAttention) {
  Case<SequenceAttention<TypeParam>>({.width = width, .heads = heads, .tokens = length}).expect_gradients();
}

TEST(NystromAttention, AFixedNumberOfOneIsNoScale) {
  auto fixed = config<Poly<3, FixedScale>>();
  fixed.activation = {{1.0}};
  Case<NystromAttention<Poly<3, FixedScale>>> ours(fixed);
  Case<NystromAttention<Poly<3>>> none(config<Poly<3>>());
  auto const a = ours.forward(), b = none.forward();
  for (std::size_t i = 0; i < a.size(); ++i) EXPECT_NEAR(a[i], b[i], 1e-13);
  none.expect_gradients();
}

TEST(NystromAttention, EachFactorMayHaveItsOwnActivation) {
  using Dynamic = Poly<3, DynamicScale>;
  Case<NystromAttention<Dynamic, Softmax, Dynamic>> outer(config<Dynamic, Softmax, Dynamic>());
  EXPECT_TRUE(outer.ctx.parameters.contains("core.queries.activation.scale"));
  EXPECT_TRUE(outer.ctx.parameters.contains("core.keys.activation.scale"));
  outer.expect_gradients();
  Case<NystromAttention<Softmax, Dynamic, Softmax>> inner(config<Softmax, Dynamic, Softmax>());
  EXPECT_TRUE(inner.ctx.parameters.contains("core.landmarks.activation.scale"));
  inner.expect_gradients();
}

TEST(NystromAttention, ASharedScaleChangesTheResultInProportion) {
  // c c^-1 c = c: without the convolution, twice the scale is twice the result.
  auto dynamic = config<Poly<3, DynamicScale>>();
  dynamic.core.taps = 0;
  Case<NystromAttention<Poly<3, DynamicScale>>> c(dynamic);
  auto const once = c.forward();
  auto const& entry = c.ctx.parameters.entry("core.activation.scale");
  std::vector<double> const twice{2 * c.ctx.parameters.host_values(entry)[0]};
  c.ctx.parameters.assign(entry, std::span<double const>(twice));
  auto const doubled = c.forward();
  for (std::size_t i = 0; i < once.size(); ++i) EXPECT_NEAR(doubled[i], 2 * once[i], 1e-12);
}

TEST(NystromAttention, AsManyLandmarksAsPositionsAreFullAttention) {
  auto all = config<Softmax>(length);
  all.core.taps = 0;
  Case<NystromAttention<Softmax>> landmarks(all);
  Case<SequenceAttention<Softmax>> full({.width = width, .heads = heads, .tokens = length});
  EXPECT_EQ(landmarks.forward(), full.forward());
  EXPECT_EQ(landmarks.gradients(), full.gradients());
}

TEST(NystromAttention, LandmarksThatAreTheTokensReconstructSoftmax) {
  // Two equal tokens a segment have their value as landmark, and the three factors multiply to the full matrix.
  Ctx ctx(3);
  auto const nystrom = make_core<NystromAttention<Softmax>>(
      ctx / "a",
      {.width = width,
       .heads = heads,
       .tokens = 2 * length,
       .core = {
           .landmarks = length, .taps = 0, .pseudo_inverse = {.iterations = 30, .start = PseudoInverseStart::norms}}});
  auto const full =
      make_core<SequenceAttention<Softmax>>(ctx / "b", {.width = width, .heads = heads, .tokens = 2 * length});
  std::vector<double> const tokens = random_numbers<double>(std::size_t(length * width), 8, 1.5);
  std::vector<double> twice;
  for (Index i = 0; i < 2 * length; ++i) {
    auto const from = tokens.begin() + std::ptrdiff_t(i / 2 * width);
    twice.insert(twice.end(), from, from + width);
  }
  PackedBatch const batch({std::vector<int>(2 * length, 1)}, 2 * length);
  auto const x = on_device(twice);
  Matrix const q(x.data(), {1, 2 * length, width});
  auto const ours = on_host(run(ctx, nystrom, batch.sequences, q, q, q).value);
  auto const wanted = on_host(run(ctx, full, batch.sequences, q, q, q).value);
  for (std::size_t i = 0; i < ours.size(); ++i) EXPECT_NEAR(ours[i], wanted[i], 1e-3);
}

TEST(NystromAttention, WhatStandsBehindASequenceDoesNotMatter) {
  // The same tokens at the same positions in another batch give the same rows.
  Case<NystromAttention<Poly<3, FixedScale>>> c(config<Poly<3, FixedScale>>());
  auto const y = c.forward();
  PackedBatch const alone({{1, 1, 1, 1, 1, 1, 1, 0, 0, 0, 0}}, length);
  auto const all = on_device(c.inputs);
  auto const part = [&](int which) {
    return Matrix(all.data() + std::size_t(which) * c.size(), {1, alone.sequences.rows(), width});
  };
  auto const first = on_host(run(c.ctx, c.core, alone.sequences, part(0), part(1), part(2)).value);
  for (std::size_t i = 0; i < first.size(); ++i) EXPECT_NEAR(first[i], y[i], 1e-12);
}

TEST(NystromAttention, AFactorOfZerosGivesTheConvolutionAlone) {
  Case<NystromAttention<Poly<3, FixedScale>>> c(config<Poly<3, FixedScale>>());
  std::fill(c.inputs.begin(), c.inputs.begin() + std::ptrdiff_t(2 * c.size()), 0.0);  // q and k
  for (double const y : c.forward()) ASSERT_TRUE(std::isfinite(y));
  for (double const d : c.gradients()) ASSERT_TRUE(std::isfinite(d));
}

TEST(NystromAttention, IsAModuleBetweenFusedProjectionsToo) {
  Ctx ctx;
  attn::nn::Attention<attn::nn::FusedQkv, NystromAttention<Softmax>> const layer(
      ctx / "attn", {.width = width, .heads = heads, .tokens = length, .core = {.landmarks = 4, .taps = 0}});
  PackedBatch const batch = batch_of_four();
  attn::nn::WithSequences const packed(ctx, {.packed = batch.sequences});
  auto const verdict = attn::testing::check_module(ctx, layer, {1, batch.sequences.rows(), width});
  EXPECT_TRUE(verdict) << verdict.message();
}

TEST(NystromAttention, WrongSizesAreRefused) {
  Ctx ctx;
  using Layer = attn::nn::Attention<attn::nn::ThreeMatrices, NystromAttention<Softmax>>;
  EXPECT_THROW(Layer(ctx / "a", {.width = 6, .heads = 4, .tokens = 11, .core = {.landmarks = 4}}), attn::Error);
  EXPECT_THROW(Layer(ctx / "b", {.width = 6, .heads = 2, .tokens = 11, .core = {.landmarks = 12}}), attn::Error);
  EXPECT_THROW(Layer(ctx / "c", {.width = 6, .heads = 2, .tokens = 11, .core = {.landmarks = 4, .taps = 4}}),
               attn::Error);
  Layer const layer(ctx / "d", {.width = 6, .heads = 2, .tokens = 10, .core = {.landmarks = 5}});
  PackedBatch const batch = batch_of_four();  // 11 positions
  auto const x = on_device(random_numbers<double>(std::size_t(batch.sequences.rows() * width), 1));
  Matrix const q(x.data(), {1, batch.sequences.rows(), width});
  EXPECT_THROW(layer.forward(ctx, q), attn::Error);  // not said to be packed
  attn::nn::WithSequences const packed(ctx, {.packed = batch.sequences});
  EXPECT_THROW(layer.forward(ctx, q), attn::Error);
}

}  // namespace
