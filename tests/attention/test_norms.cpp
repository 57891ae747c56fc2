// Norms and statistics of rows, which no kernel materialises, beside those of the matrix that the textbook stores.
#include "attn/activation/related.hpp"
#include "attn/attention/norms.hpp"

#include <gtest/gtest.h>

#include "attention/cases.hpp"

namespace {

using namespace attn_test;

/// What AttentionStatistics holds, in its order: two numbers a head, then six a row.
using Numbers = std::vector<std::vector<double>>;
constexpr char const* names[] = {"frobenius", "jacobian", "sum",      "minimum",
                                 "maximum",   "positive", "negative", "entropy"};

/// From materialised weights and, for the Jacobian, from jets: dw_j / ds_k by the activation itself.
template <class A, class M>
Numbers by_hand(A const& a, Inputs<double> const& in, M const& mask, double score_scale) {
  Shape const& s = in.shape;
  using X = attn::Tensor<double const, 4, Kokkos::HostSpace>;
  X const q(in.q.data(), {s.batch, s.heads, s.queries, s.width}),
      k(in.k.data(), {s.batch, s.kv_heads, s.keys, s.width});
  attn::AttentionOptions<M> const options{.mask = mask, .score_scale = score_scale};
  double const scale = attn::reference::detail::score_scale<double>(options, s.width);
  Numbers all(8);
  for (Index b = 0; b < s.batch; ++b) {
    for (Index h = 0; h < s.heads; ++h) {
      double frobenius = 0, jacobian = 0;
      for (Index i = 0; i < s.queries; ++i) {
        auto const row = attn::reference::detail::weight_row<double>(a, q, k, options, scale, b, h, i);
        auto const& w = row.weights;
        attn::Row const of{mask.length(int(b), int(s.keys)), int(h)};
        double sum = 0, size = 0, low = w.empty() ? 0 : w[0], high = low, positive = 0, negative = 0, entropy = 0;
        for (std::size_t j = 0; j < w.size(); ++j) {
          sum += w[j];
          size += std::abs(w[j]);
          low = std::min(low, w[j]);
          high = std::max(high, w[j]);
          positive += w[j] > 0;
          negative += w[j] < 0;
          frobenius += w[j] * w[j];
          if constexpr (attn::RowActivation<A, double>) {
            using J = attn::Jet<double, 1>;
            typename A::template Stats<J> stats;  // of the row, differentiated by score j
            for (std::size_t l = 0; l < w.size(); ++l) {
              a.absorb(stats, l == j ? J::variable(row.scores[l]) : J(row.scores[l]));
            }
            for (std::size_t l = 0; l < w.size(); ++l) {
              J const score = l == j ? J::variable(row.scores[l]) : J(row.scores[l]);
              double const slope = (a.numerator(score, stats) / a.normalizer(stats)).coefficients[1];
              jacobian += slope * slope;
            }
          } else {
            double const slope = attn::weight_and_slope(a, row.scores[j], of).slope;
            jacobian += slope * slope;
          }
        }
        for (double const x : w) entropy -= x == 0 || size == 0 ? 0 : std::abs(x) / size * std::log(std::abs(x) / size);
        double const rows[] = {sum, low, high, positive, negative, entropy};
        for (std::size_t r = 0; r < 6; ++r) all[r + 2].push_back(rows[r]);
      }
      all[0].push_back(frobenius);
      all[1].push_back(jacobian);
    }
  }
  return all;
}

template <class T, class Kernel, class MakeActivation, class MakeMask>
Numbers by_kernel(MakeActivation const& make_activation, Inputs<double> const& in, MakeMask const& make_mask,
                  double score_scale) {
  using Exec = typename Kernel::Exec;
  using Memory = typename Exec::memory_space;
  Shape const& s = in.shape;
  Arrays<Memory> arrays;
  auto const as_T = [](std::vector<double> const& x) { return std::vector<T>(x.begin(), x.end()); };
  auto const a = make_activation(arrays, T());
  auto const mask = make_mask(arrays, s);
  using A = std::remove_const_t<decltype(a)>;
  using X = attn::Tensor<T const, 4, Memory>;
  X const q(arrays.put(as_T(in.q)), {s.batch, s.heads, s.queries, s.width}),
      k(arrays.put(as_T(in.k)), {s.batch, s.kv_heads, s.keys, s.width});
  auto const heads = [&] {
    return attn::Tensor<T, 2, Memory>(arrays.put(std::vector<T>(std::size_t(s.batch * s.heads), T(-77))),
                                      {s.batch, s.heads});
  };
  auto const rows = [&] {
    return attn::Tensor<T, 3, Memory>(arrays.put(std::vector<T>(std::size_t(s.batch * s.heads * s.queries), T(-77))),
                                      {s.batch, s.heads, s.queries});
  };
  using Statistics = attn::AttentionStatistics<T, Memory>;
  Statistics const to{heads(), heads(), rows(), rows(), rows(), rows(), rows(), rows()};
  Exec const exec;
  attn::Saved<A, T, Memory> const saved(s.batch, s.heads, s.queries);
  X const v(nullptr, {s.batch, s.kv_heads, s.keys, 0});
  attn::Tensor<T, 4, Memory> const out(nullptr, {s.batch, s.heads, s.queries, 0});
  using M = std::remove_const_t<decltype(mask)>;
  Kernel::forward(exec, a, q, k, v, out, saved, attn::AttentionOptions<M, Statistics>{mask, score_scale, to});
  exec.fence();
  Numbers all;
  auto const get = [&](auto const& tensor) {
    auto const values = arrays.get(tensor.data(), std::size_t(tensor.size()));
    all.emplace_back(values.begin(), values.end());
  };
  get(to.frobenius), get(to.jacobian), get(to.sum), get(to.minimum), get(to.maximum), get(to.positive),
      get(to.negative), get(to.entropy);
  return all;
}

/// `attention` and `attention_norms` as users call them, and the portable kernel alone.
struct PortableNorms {
  using Exec = Kokkos::DefaultExecutionSpace;
  template <class A, class Q, class K, class V, class O, class Saved, class Options>
  static void forward(Exec const& exec, A const& a, Q const& q, K const& k, V const& v, O const& out,
                      Saved const& saved, Options const& options) {
    attn::detail::team_attention_forward(exec, a, q, k, v, out, saved, options);
  }
};
struct PortableNormsOfOneThread : PortableNorms {
  template <class... Call>
  static void forward(Exec const& exec, Call const&... call) {
    if constexpr (attn::HostExecutionSpace<Exec>) {
      auto const alone = Kokkos::Experimental::partition_space(exec, 1, 1)[0];
      PortableNorms::forward(alone, call...);
      alone.fence();
    } else {
      PortableNorms::forward(exec, call...);
    }
  }
};
struct ChosenNorms {
  using Exec = Kokkos::DefaultExecutionSpace;
  template <class A, class Q, class K, class V, class O, class Saved, class Options>
  static void forward(Exec const& exec, A const& a, Q const& q, K const& k, V const&, O const&, Saved const&,
                      Options const& options) {
    attn::attention_norms(exec, a, q, k, options.norms,
                          attn::AttentionOptions<decltype(options.mask)>{options.mask, options.score_scale});
  }
};

/// In memory for two shares of a head: teams take one tile of queries after the other.
struct PortableNormsInTurns : PortableNorms {
  template <class A, class Q, class K, class V, class O, class Saved, class Options>
  static void forward(Exec const& exec, A const& a, Q const& q, K const& k, V const& v, O const& out,
                      Saved const& saved, Options const& options) {
    attn::AttentionOptions<decltype(options.mask)> const without{options.mask, options.score_scale};
    PortableNorms::forward(exec, a, q, k, v, out, saved, without);
    Index const shares = 2, bytes = shares * 2 * Index(sizeof(double)) * q.extent(0) * q.extent(1);
    attn::detail::team_attention_norms(exec, a, q, k, saved, options, bytes);
  }
};

/// Entries agree relative to the largest of their kind, or to one: where terms cancel, the error is relative to them.
template <class T, class MakeActivation, class MakeMask>
void expect_by_hand(MakeActivation const& make_activation, MakeMask const& make_mask, Shape const& shape,
                    double score_scale = 0) {
  Inputs<double> in = random_inputs<double>(shape);
  for (auto* const x : {&in.q, &in.k}) {
    for (double& number : *x) number = double(T(number));  // what the kernel sees
  }
  Arrays<Kokkos::HostSpace> arrays;
  auto const want = by_hand(make_activation(arrays, double()), in, make_mask(arrays, shape), score_scale);
  double const tolerance = (sizeof(T) == 4 ? 2e-5 : 1e-12);
  auto const compare = [&](Numbers const& got, char const* kernel) {
    for (std::size_t n = 0; n < 8; ++n) {
      auto x = got[n], y = want[n];
      double const one = n == 3 || n == 4 || n == 2 ? 1e-3 : 0;  // extremes and sums may all be near zero
      x.push_back(one), y.push_back(one);
      auto const verdict = attn::testing::allclose(x, y, tolerance).about(names[n]);
      EXPECT_TRUE(verdict) << kernel << ", N = " << shape.queries << ", M = " << shape.keys << ": "
                           << verdict.message();
    }
  };
  compare(by_kernel<T, ChosenNorms>(make_activation, in, make_mask, score_scale), "chosen");
  if constexpr (std::same_as<T, double>) {
    compare(by_kernel<T, PortableNorms>(make_activation, in, make_mask, score_scale), "portable");
    compare(by_kernel<T, PortableNormsInTurns>(make_activation, in, make_mask, score_scale), "portable, in turns");
  }
}

/// An activation without memory.
template <class A>
auto simple(A const& a) {
  return [a](auto&, auto) { return a; };
}

/// Sizes: none, one, primes, beyond a tile of keys and a block of queries.
std::vector<Shape> const shapes = {{.queries = 1, .keys = 1},
                                   {.queries = 3, .keys = 0},
                                   {.queries = 0, .keys = 3},
                                   {.heads = 2, .kv_heads = 1, .queries = 17, .keys = 13},
                                   {.batch = 1, .heads = 1, .kv_heads = 1, .queries = 53, .keys = 101, .width = 7}};

template <class T>
class Statistics : public ::testing::Test {};
using Scalars = ::testing::Types<float, double>;
TYPED_TEST_SUITE(Statistics, Scalars);

TYPED_TEST(Statistics, OfSoftmax_AreThoseOfItsMatrix) {
  for (Shape const& s : shapes) expect_by_hand<TypeParam>(simple(attn::Softmax{}), full(), s);
  expect_by_hand<TypeParam>(simple(attn::Softmax{}), full(), shapes.back(), 3.0);
}

TYPED_TEST(Statistics, UnderMasks_CountWhatIsVisible) {
  Shape const s{.queries = 53, .keys = 67};
  for (auto const& mask : {causal(14), window({.before = 9, .after = 2}, {67, 17})}) {
    expect_by_hand<TypeParam>(simple(attn::Softmax{}), mask, s);
    expect_by_hand<TypeParam>(simple(attn::Poly<attn::any_power, attn::FixedScale>{{}, {3}}), mask, s);
    expect_by_hand<TypeParam>(simple(attn::L1Normalized{}), mask, s);
  }
}

TYPED_TEST(Statistics, OfPolynomials_AreThoseOfTheirMatricesWithEachScale) {
  using attn::any_power, attn::Poly;
  for (Shape const& s : shapes) {
    expect_by_hand<TypeParam>(simple(Poly<any_power, attn::FixedScale>{{}, {3}}), full(), s);
  }
  for (int const power : {1, 2, 6}) {
    expect_by_hand<TypeParam>(simple(Poly<any_power, attn::FixedScale>{{1.0}, {power}}), full(), shapes.back());
  }
  auto const dynamic = [](auto& arrays, auto real) {
    using R = decltype(real);
    return Poly<3, attn::BasicDynamicScale<R>>{{arrays.put(std::vector<R>{R(0.3), R(-1.5)}), nullptr, true}};
  };
  expect_by_hand<TypeParam>(dynamic, full(), {.batch = 1, .queries = 19, .keys = 65});
}

TYPED_TEST(Statistics, OfNormalizedNumerators_NeedNoSecondPassOnHosts) {
  expect_by_hand<TypeParam>(simple(attn::TaylorSoftmax{}), full(), shapes.back());
  expect_by_hand<TypeParam>(simple(attn::L1Normalized{}), full(), shapes[3]);
  if constexpr (attn::HostExecutionSpace<Kokkos::DefaultExecutionSpace> && attn::has_packs) {
    using Wanted = attn::AttentionOptions<attn::Full, attn::AttentionStatistics<TypeParam>>;
    using X = attn::Tensor<TypeParam, 4, Kokkos::HostSpace>;
    EXPECT_TRUE(
        attn::detail::is_packed_host(attn::detail::kernel_by_types<attn::Pass::forward, Kokkos::DefaultExecutionSpace,
                                                                   attn::TaylorSoftmax, Wanted, X>));
  }
}

/// Softmax to another base, without a closed form of its Jacobian: w_j = 2^(s_j) / sum_k 2^(s_k).
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

TEST(Norms, ComeFromThePullbackWhereThereIsNoClosedForm) {
  expect_by_hand<double>(simple(PowersOfTwo{}), causal(3), {.queries = 13, .keys = 37});
}

// Each tile of queries makes a share of its own; or, in turns, seven tiles make two.
TEST(Norms, HaveTheSameBitsForAnyNumberOfThreads) {
  auto const in = random_inputs<double>({.heads = 1, .kv_heads = 1, .queries = 197, .keys = 67});
  auto const one = by_kernel<double, PortableNormsOfOneThread>(simple(attn::Softmax{}), in, causal(0), 0);
  EXPECT_EQ(one, (by_kernel<double, PortableNorms>(simple(attn::Softmax{}), in, causal(0), 0)));
  expect_by_hand<double>(simple(attn::Softmax{}), causal(0), in.shape);
  expect_by_hand<double>(simple(attn::Poly<3>{}), causal(0), in.shape);
}

TEST(Norms, OfReluAndSigmoid_AreThoseOfTheirMatrices) {
  expect_by_hand<double>(simple(attn::Relu{}), full(), shapes.back());
  expect_by_hand<double>(simple(attn::Sigmoid{1}), full(), shapes.back());
}

TEST(Norms, OfSoftmaxStayBelowTheirBounds) {
  // ||A||_F <= sqrt N and ||J||_F <= 2 sqrt N (theorem 4.1 of the paper); the cube of the same scores passes both.
  auto const in = random_inputs<double>({.queries = 37, .keys = 37});
  auto const softmax = by_kernel<double, ChosenNorms>(simple(attn::Softmax{}), in, full(), 12);
  auto const cube =
      by_kernel<double, ChosenNorms>(simple(attn::Poly<attn::any_power, attn::FixedScale>{{}, {3}}), in, full(), 12);
  for (std::size_t h = 0; h < softmax[0].size(); ++h) {
    EXPECT_LE(softmax[0][h], 37 * (1 + 1e-12));
    EXPECT_LE(softmax[1][h], 4 * 37);
    EXPECT_GT(cube[0][h], 37);
    EXPECT_GT(cube[1][h], 4 * 37);
  }
}

template <class Kernel>
void expect_written_only_where_wanted() {
  using Memory = typename Kernel::Exec::memory_space;
  auto const in = random_inputs<double>({.queries = 11, .keys = 23});
  auto const all = by_kernel<double, Kernel>(simple(attn::Softmax{}), in, full(), 0);
  Shape const& s = in.shape;
  Arrays<Memory> arrays;
  using X = attn::Tensor<double const, 4, Memory>;
  X const q(arrays.put(in.q), {s.batch, s.heads, s.queries, s.width}),
      k(arrays.put(in.k), {s.batch, s.kv_heads, s.keys, s.width}), v(nullptr, {s.batch, s.kv_heads, s.keys, 0});
  attn::Tensor<double, 4, Memory> const out(nullptr, {s.batch, s.heads, s.queries, 0});
  attn::Saved<attn::Softmax, double, Memory> const saved(s.batch, s.heads, s.queries);
  auto const mask = full()(arrays, s);
  double* const memory = arrays.put(std::vector<double>(4, -77.0));
  using Wanted = attn::AttentionStatistics<double, Memory>;
  typename Kernel::Exec const exec;
  Kernel::forward(exec, attn::Softmax{}, q, k, v, out, saved,
                  attn::AttentionOptions<AnyMask, Wanted>{mask, 0, {.jacobian = {memory, {2, 2}}}});
  exec.fence();
  EXPECT_TRUE(attn::testing::same_bits(arrays.get(memory, 4), all[1]));
}

template <class Kernel, class A>
void expect_indifference(A const& a) {
  auto const clean = random_inputs<double>({.queries = 37, .keys = 41});
  Shape const& s = clean.shape;
  auto const want = by_kernel<double, Kernel>(simple(a), clean, causal(0), 0);
  for (Index const key : {36, 38}) {  // only the last query sees the first of them, none the other
    auto in = clean;
    for (Index row = key; row < s.batch * s.kv_heads * s.keys; row += s.keys) {
      for (Index d = 0; d < s.width; ++d) in.k[std::size_t(row * s.width + d)] = std::nan("");
    }
    auto const got = by_kernel<double, Kernel>(simple(a), in, causal(0), 0);
    for (std::size_t which = 0; which < 8; ++which) {
      bool const counts = which == 5 || which == 6;  // how many weights are positive, or negative
      for (std::size_t i = 0; i < got[which].size(); ++i) {
        bool const is_spoilt = key == 36 && !counts && (which < 2 || Index(i) % s.queries == 36);
        bool const may_differ = key == 36 && counts && Index(i) % s.queries == 36;
        if (may_differ) continue;
        EXPECT_EQ(std::isnan(got[which][i]), is_spoilt) << names[which] << "[" << i << "]";
        if (!is_spoilt) {
          EXPECT_EQ(got[which][i], want[which][i]) << names[which] << "[" << i << "]";
        }
      }
    }
  }
}

TEST(Norms, AreIndifferentToWhatAMaskHides) {
  attn::Poly<attn::any_power, attn::FixedScale> const cube{{}, {3}};
  expect_indifference<PortableNorms>(attn::Softmax{});
  expect_indifference<ChosenNorms>(attn::Softmax{});
  expect_indifference<PortableNorms>(cube);
  expect_indifference<ChosenNorms>(cube);
}

TEST(Norms, AreWrittenOnlyWhereTheyHaveMemory) {
  expect_written_only_where_wanted<PortableNorms>();
  expect_written_only_where_wanted<ChosenNorms>();
}

TEST(LogSumExp, IsThatOfEachRow) {
  using Exec = Kokkos::DefaultExecutionSpace;
  using Memory = Exec::memory_space;
  Shape const s{.queries = 5, .keys = 67};
  auto const in = random_inputs<double>(s);
  Arrays<Memory> arrays;
  using X = attn::Tensor<double, 4, Memory>;
  X const q(arrays.put(in.q), {s.batch, s.heads, s.queries, s.width}),
      k(arrays.put(in.k), {s.batch, s.heads, s.keys, s.width}), v(nullptr, {s.batch, s.heads, s.keys, 0}),
      out(nullptr, {s.batch, s.heads, s.queries, 0});
  Exec const exec;
  attn::Saved<attn::Softmax, double, Memory> const saved(s.batch, s.heads, s.queries);
  attn::attention(exec, attn::Softmax{}, q, k, v, out, saved, attn::AttentionOptions<>{.score_scale = 40});
  attn::Tensor<double, 3, Memory> const result(arrays.put(std::vector<double>(20, -77)), {2, 2, 5});
  attn::log_sum_exp(exec, saved, result);
  exec.fence();
  auto const got = arrays.get(result.data(), 20);
  for (std::size_t row = 0; row < 20; ++row) {
    std::vector<double> scores;
    for (Index j = 0; j < s.keys; ++j) {
      double dot = 0;
      for (Index d = 0; d < s.width; ++d) {
        dot += in.q[row * 6 + std::size_t(d)] * in.k[(row / 5 * 67 + std::size_t(j)) * 6 + std::size_t(d)];
      }
      scores.push_back(40 * dot);
    }
    double const top = *std::max_element(scores.begin(), scores.end());
    double sum = 0;
    for (double const x : scores) sum += std::exp(x - top);
    EXPECT_NEAR(got[row], top + std::log(sum), 1e-10 * std::abs(top));
  }
}

}  // namespace
