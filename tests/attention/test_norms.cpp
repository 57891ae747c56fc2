// Norms of the matrix of weights and of its Jacobian, which no kernel stores.
#include <gtest/gtest.h>

#include "attention/cases.hpp"

namespace {

using namespace attn_test;

/// e^s of softmax by another activation, without a closed form of its Jacobian: w_j = 2^(s_j) / sum_k 2^(s_k).
struct PowersOfTwo {
  template <class T>
  using Stats = attn::Softmax::Stats<T>;

  template <class T>
  ATTN_FUNCTION T absorb(Stats<T>& stats, T s) const {
    return attn::Softmax{}.absorb(stats, s * T(log_two));
  }
  template <class T>
  ATTN_FUNCTION T numerator(T s, Stats<T> const& stats) const {
    return attn::Softmax{}.numerator(s * T(log_two), stats);
  }
  template <class T>
  ATTN_FUNCTION T normalizer(Stats<T> const& stats) const {
    return stats.sum;
  }
  template <class T>
  ATTN_FUNCTION T pullback(T w, T d_w, T delta) const {
    return T(log_two) * w * (d_w - delta);
  }
  static constexpr double log_two = 0.6931471805599453;
};

template <class Kernel>
class Norms : public ::testing::Test {
 protected:
  static constexpr Shape shape{.batch = 2, .heads = 2, .kv_heads = 1, .queries = 37, .keys = 41};

  /// The squares, from weights that the textbook stores, and from their differences by each score of the row.
  template <class A, class MakeMask>
  static std::pair<std::vector<double>, std::vector<double>> by_hand(A const& a, MakeMask const& make_mask) {
    Arrays<Kokkos::HostSpace> arrays;
    auto const in = random_inputs<double>(shape);
    auto const mask = make_mask(arrays, shape);
    std::vector<double> frobenius, jacobian;
    for (int b = 0; b < int(shape.batch); ++b) {
      for (int h = 0; h < int(shape.heads); ++h) {
        double squares = 0, slopes = 0;
        for (int i = 0; i < int(shape.queries); ++i) {
          attn::KeyRange const keys = mask.keys({b, i, int(shape.queries), int(shape.keys)});
          std::vector<double> scores;
          for (int j = keys.begin; j < keys.end; ++j) {
            double s = 0;
            for (Index d = 0; d < shape.width; ++d) {
              s += in.q[std::size_t(((b * shape.heads + h) * shape.queries + i) * shape.width + d)] *
                   in.k[std::size_t((b * shape.keys + j) * shape.width + d)];
            }
            scores.push_back(s / std::sqrt(double(shape.width)));
          }
          attn::Row const row{mask.length(b, int(shape.keys)), h};
          for (double const w : weights(a, scores, row)) squares += w * w;
          for (std::size_t k = 0; k < scores.size(); ++k) {
            auto up = scores, down = scores;
            double const step = 1e-5;
            up[k] += step;
            down[k] -= step;
            auto const above = weights(a, up, row), below = weights(a, down, row);
            for (std::size_t j = 0; j < scores.size(); ++j) {
              slopes += (above[j] - below[j]) * (above[j] - below[j]) / (4 * step * step);
            }
          }
        }
        frobenius.push_back(squares);
        jacobian.push_back(slopes);
      }
    }
    return {frobenius, jacobian};
  }

  template <class A>
  static std::vector<double> weights(A const& a, std::vector<double> const& scores, attn::Row row) {
    std::vector<double> w;
    if constexpr (attn::RowActivation<A, double>) {
      typename A::template Stats<double> stats;
      for (double const s : scores) a.absorb(stats, s);
      for (double const s : scores) w.push_back(a.numerator(s, stats) / a.normalizer(stats));
    } else {
      for (double const s : scores) w.push_back(a(s, row));
    }
    return w;
  }

  template <class A, class MakeMask>
  static void expect_by_hand(A const& a, MakeMask const& make_mask) {
    auto const result = run<Kernel, true>(random_inputs<double>(shape), plain(a), make_mask);
    auto const [frobenius, jacobian] = by_hand(a, make_mask);
    auto const f = attn::testing::allclose(result.frobenius, frobenius, 1e-12);
    auto const j = attn::testing::allclose(result.jacobian, jacobian, 1e-8);
    EXPECT_TRUE(f) << f.message();
    EXPECT_TRUE(j) << j.message();
  }
};

using Kernels = ::testing::Types<Portable, Chosen>;
TYPED_TEST_SUITE(Norms, Kernels);

TYPED_TEST(Norms, OfSoftmaxAreThoseOfItsMatrix) {
  this->expect_by_hand(attn::Softmax{}, full());
  this->expect_by_hand(attn::Softmax{}, window({.before = 9, .after = 0}, {41, 17}));
}

TYPED_TEST(Norms, OfACubeAreThoseOfItsMatrix) {
  this->expect_by_hand(attn::Poly<3, attn::FixedScale>{}, full());
  this->expect_by_hand(attn::Poly<3, attn::FixedScale>{}, window({.before = 9, .after = 0}, {41, 17}));
}

TYPED_TEST(Norms, ComeFromThePullbackWhereThereIsNoClosedForm) { this->expect_by_hand(PowersOfTwo{}, full()); }

TYPED_TEST(Norms, OfSoftmaxStayBelowTheirBounds) {
  // ||A||_F <= sqrt N and ||J||_F <= 2 sqrt N (theorem 4.1 of the paper); the cube of the same scores passes both.
  auto in = random_inputs<double>(this->shape);
  for (double& x : in.q) x *= 30;
  auto const softmax = run<TypeParam, true>(in, plain(attn::Softmax{}), full());
  auto const cube = run<TypeParam, true>(in, plain(attn::Poly<3, attn::FixedScale>{}), full());
  for (std::size_t h = 0; h < softmax.frobenius.size(); ++h) {
    EXPECT_LE(softmax.frobenius[h], 37 * (1 + 1e-12));
    EXPECT_LE(softmax.jacobian[h], 4 * 37);
    EXPECT_GT(cube.frobenius[h], 37);
    EXPECT_GT(cube.jacobian[h], 4 * 37);
  }
}

TYPED_TEST(Norms, AreWrittenOnlyWhereTheyHaveMemory) {
  using Exec = typename TypeParam::Exec;
  using Memory = typename Exec::memory_space;
  using X = attn::Tensor<double, 4, Memory>;
  auto const in = random_inputs<double>(this->shape);
  Shape const& s = in.shape;
  Arrays<Memory> arrays;
  X const q(arrays.put(in.q), {s.batch, s.heads, s.queries, s.width});
  X const k(arrays.put(in.k), {s.batch, s.kv_heads, s.keys, s.width});
  X const v(arrays.put(in.v), {s.batch, s.kv_heads, s.keys, s.value_width});
  X const out(arrays.put(in.d_out), {s.batch, s.heads, s.queries, s.value_width});
  auto const expected = run<TypeParam, true>(in, plain(attn::Softmax{}), full());
  double* const memory = arrays.put(std::vector<double>(4, -77.0));
  attn::Saved<attn::Softmax, double, Memory> const saved(s.batch, s.heads, s.queries);
  AnyMask const mask = full()(arrays, s);
  using Norms = attn::AttentionNorms<double, Memory>;
  Exec const exec;
  TypeParam::forward(exec, attn::Softmax{}, q, k, v, out, saved,
                     attn::AttentionOptions<AnyMask, Norms>{mask, 0, {.frobenius = {memory, {2, 2}}}});
  exec.fence();
  EXPECT_TRUE(attn::testing::same_bits(arrays.get(memory, 4), expected.frobenius));
  TypeParam::forward(exec, attn::Softmax{}, q, k, v, out, saved,
                     attn::AttentionOptions<AnyMask, Norms>{mask, 0, {.jacobian = {memory, {2, 2}}}});
  exec.fence();
  EXPECT_TRUE(attn::testing::same_bits(arrays.get(memory, 4), expected.jacobian));
}

}  // namespace
