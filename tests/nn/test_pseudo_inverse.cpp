#include "attn/nn/context.hpp"
#include "attn/nn/pseudo_inverse.hpp"
#include "attn/testing/check_module.hpp"

#include <gtest/gtest.h>

#include <cmath>

#include "nn/packed_batch.hpp"

namespace {

using attn::Index;
using attn::Tensor;
using attn::nn::PseudoInverse;
using attn::nn::PseudoInverseStart;
using attn::testing::on_device;
using attn::testing::on_host;
using attn::testing::random_numbers;

template <class T>
using Ctx = attn::nn::Context<Kokkos::DefaultExecutionSpace, T>;

/// pinv of matrices (1, count, m, m), on the host.
template <class T>
std::vector<T> invert(std::vector<T> const& k, Index count, Index m, PseudoInverse::Config const& config) {
  Ctx<T> ctx;
  ctx.training = false;
  auto const view = on_device(k);
  attn::nn::ConstTensorOf<Ctx<T>, 4> const input(view.data(), {1, count, m, m});
  auto const result = on_host(PseudoInverse(config).forward(ctx, input).value);
  ctx.exec.fence();
  return result;
}

std::vector<double> diagonal(std::vector<double> const& values) {
  std::vector<double> k(values.size() * values.size(), 0.0);
  for (std::size_t i = 0; i < values.size(); ++i) k[i * values.size() + i] = values[i];
  return k;
}

TEST(PseudoInverse, SmallEigenvaluesGrowAsTheirTableSays) {
  // With K = diag(1, s, ...) the start has eigenvalues x0 = s^2 of K Z; after six iterations the eigenvalue of K Z is
  // that of the map 1 - x' = (1 - x)^3 (1 - x / 4), applied six times; the published table has these values.
  struct Row {
    double x0, x6;
  };
  std::vector<Row> const table = {{1e-4, 0.111}, {3e-4, 0.297}, {1e-3, 0.687}, {3e-3, 0.967}};
  std::vector<double> s{1.0};
  for (Row const& row : table) s.push_back(std::sqrt(row.x0));
  auto const z = invert(diagonal(s), 1, Index(s.size()), {});
  for (std::size_t i = 0; i < table.size(); ++i) {
    double const x6 = s[i + 1] * z[(i + 1) * s.size() + i + 1];
    EXPECT_NEAR(x6, table[i].x6, 6e-4) << table[i].x0;
    double x = table[i].x0;
    for (int n = 0; n < 6; ++n) x = 1 - std::pow(1 - x, 3) * (1 - x / 4);
    EXPECT_NEAR(x6, x, 1e-12);
  }
}

TEST(PseudoInverse, TheUnitMatrixIsItsOwnInverseFromTheStart) {
  for (auto const start : {PseudoInverseStart::column_sum, PseudoInverseStart::norms}) {
    for (int const iterations : {1, 6}) {
      auto const unit = diagonal({1, 1, 1, 1, 1});
      auto const z = invert(unit, 1, 5, {.iterations = iterations, .start = start});
      for (std::size_t i = 0; i < unit.size(); ++i) EXPECT_NEAR(z[i], unit[i], 1e-15);
    }
  }
}

TEST(PseudoInverse, AWellConditionedMatrixOfAnySignsIsInverted) {
  Index const m = 7;
  auto k = random_numbers<double>(2 * 49, 1, 0.1);
  for (Index i = 0; i < m; ++i) k[std::size_t(i * m + i)] += 1, k[std::size_t(49 + i * m + i)] -= 1;
  auto const z = invert(k, 2, m, {.iterations = 10});
  for (Index matrix = 0; matrix < 2; ++matrix) {
    for (Index i = 0; i < m; ++i) {
      for (Index j = 0; j < m; ++j) {
        double sum = 0;
        for (Index l = 0; l < m; ++l) {
          sum += k[std::size_t(matrix * 49 + i * m + l)] * z[std::size_t(matrix * 49 + l * m + j)];
        }
        EXPECT_NEAR(sum, i == j ? 1 : 0, 1e-9);
      }
    }
  }
}

TEST(PseudoInverse, ASingularMatrixHasTheMoorePenroseInverse) {
  // K = u v^T with |u| = |v| = 1: pinv(K) = v u^T.
  std::vector<double> const u{0.6, 0.8, 0}, v{0, 0.28, 0.96};
  std::vector<double> k;
  for (double const a : u) {
    for (double const b : v) k.push_back(a * b);
  }
  auto const z = invert(k, 1, 3, {.iterations = 10});
  for (std::size_t i = 0; i < 3; ++i) {
    for (std::size_t j = 0; j < 3; ++j) EXPECT_NEAR(z[i * 3 + j], v[i] * u[j], 1e-9);
  }
}

template <class T>
void expect_finite(std::vector<T> const& values) {
  for (T const v : values) ASSERT_TRUE(std::isfinite(v)) << v;
}

TEST(PseudoInverse, AZeroMatrixGivesZeroAndItsNeighboursAreNotTouched) {
  std::vector<float> k(3 * 16, 0.0f);
  for (std::size_t i = 0; i < 4; ++i) k[16 + i * 5] = 2;  // the second is 2 I
  for (auto const start : {PseudoInverseStart::column_sum, PseudoInverseStart::norms}) {
    auto const z = invert(k, 3, 4, {.start = start});
    for (std::size_t i = 0; i < 48; ++i) {
      EXPECT_EQ(z[i] != 0, i >= 16 && i < 32 && (i - 16) % 5 == 0) << i;
      EXPECT_NEAR(z[i], z[i] != 0 ? 0.5 : 0, 1e-6);
    }
  }
  auto const zeros = invert(std::vector<float>(16, 0.0f), 1, 4, {.start = PseudoInverseStart::column_sum});
  EXPECT_EQ(zeros, std::vector<float>(16, 0.0f));
}

TEST(PseudoInverse, TinyAndHugeMatricesStayFinite) {
  for (float const scale : {1e-44f, 1e-30f, 1e-20f, 1e18f, 1e30f}) {
    auto k = random_numbers<float>(25, 2, 1);
    for (float& x : k) x *= scale;
    expect_finite(invert(k, 1, 5, {}));
  }
}

TEST(PseudoInverse, ColumnSumsThatAreNotPositiveGiveZero) {
  EXPECT_EQ(invert(std::vector<float>{-1, 0, 0, -1}, 1, 2, {.start = PseudoInverseStart::column_sum}),
            std::vector<float>(4, 0.0f));
}

TEST(PseudoInverse, IsAModule) {
  Ctx<double> ctx;
  PseudoInverse const inverse({.iterations = 2, .start = PseudoInverseStart::norms});
  auto const verdict = attn::testing::check_module(ctx, inverse, {2, 2, 3, 3});
  EXPECT_TRUE(bool(verdict)) << verdict.message();
}

TEST(PseudoInverse, GradientsAgreeWithFiniteDifferences) {
  Index const m = 5, count = 3;
  auto const d = random_numbers<double>(75, 4);
  auto const d_z = on_device(d);
  for (auto const start : {PseudoInverseStart::column_sum, PseudoInverseStart::norms}) {
    PseudoInverse const pinv({.iterations = 4, .start = start});
    auto k = random_numbers<double>(75, 3, 0.4);
    if (start == PseudoInverseStart::column_sum) {
      for (double& x : k) x = std::abs(x) + 0.1;
    }
    auto const loss = [&](std::size_t i, double shift) {
      auto shifted = k;
      shifted[i] += shift;
      auto const z = invert(shifted, count, m, {.iterations = 4, .start = start});
      double sum = 0;
      for (std::size_t j = 0; j < z.size(); ++j) sum += z[j] * d[j];
      return sum;
    };
    Ctx<double> ctx;
    auto const view = on_device(k);
    attn::nn::ConstTensorOf<Ctx<double>, 4> const input(view.data(), {1, count, m, m});
    auto [z, tape] = pinv.forward(ctx, input);
    auto const d_k = on_host(pinv.backward(ctx, std::move(tape), {d_z.data(), {1, count, m, m}}));
    EXPECT_TRUE(attn::testing::gradcheck(loss, d_k, {.step = 1e-4, .tolerance = 1e-8, .at_most = 75})) << int(start);
  }
}

TEST(PseudoInverse, AZeroMatrixHasAFiniteGradient) {
  Ctx<float> ctx;
  auto const k = on_device(std::vector<float>(18, 0.0f)), d_z = on_device(std::vector<float>(18, 1.0f));
  for (auto const start : {PseudoInverseStart::column_sum, PseudoInverseStart::norms}) {
    PseudoInverse const pinv({.start = start});
    auto [z, tape] = pinv.forward(ctx, attn::nn::ConstTensorOf<Ctx<float>, 4>(k.data(), {1, 2, 3, 3}));
    expect_finite(on_host(pinv.backward(ctx, std::move(tape), {d_z.data(), {1, 2, 3, 3}})));
  }
}

TEST(PseudoInverse, WrongUseIsRefused) {
  EXPECT_THROW(PseudoInverse({.iterations = 0}), attn::Error);
  Ctx<float> ctx;
  attn::nn::TensorOf<Ctx<float>, 4> const k = ctx.tensor(1, 1, 2, 3);
  EXPECT_THROW(PseudoInverse({}).forward(ctx, attn::nn::ConstTensorOf<Ctx<float>, 4>(k)), attn::Error);
}

}  // namespace
