// Every gradient of attention against finite differences in double.
#include "attn/testing/gradcheck.hpp"

#include <gtest/gtest.h>

#include "attention/differences.hpp"

namespace {

using namespace attn_test;
using attn::testing::gradcheck;
using attn::testing::Verdict;

/// A user's activation with a slope of its own, and one whose derivative comes from a jet.
struct Sine {
  template <class T>
  ATTN_FUNCTION T operator()(T s, attn::Row row) const {
    return attn::sin(s) / T(row.n_keys);
  }
};

/// Trained: w = a tanh(b s), two numbers for each head.
template <attn::Real R = float>
struct LearnedTanh {
  static constexpr int n_parameters = 2;
  static constexpr char const* parameter_names[] = {"height", "steepness"};
  attn::LearnedParameters<R> numbers;

  template <class T>
  ATTN_FUNCTION T operator()(T s, attn::Row row) const {
    return number<T>(0, row) * attn::tanh(number<T>(1, row) * s);
  }
  template <class T>
  ATTN_FUNCTION Kokkos::Array<T, 2> parameter_slopes(T s, attn::Row row) const {
    T const y = attn::tanh(number<T>(1, row) * s);
    return {y, number<T>(0, row) * (T(1) - y * y) * s};
  }
  ATTN_FUNCTION attn::LearnedParameters<R> parameters() const { return numbers; }
  static Kokkos::Array<double, 2> initial_parameters(int n_keys) { return {1.0 / n_keys, 1.0}; }
  template <attn::Real Other>
  LearnedTanh<Other> bind(attn::LearnedParameters<Other> p) const {
    return {p};
  }

 private:
  template <class T>
  ATTN_FUNCTION T number(int p, attn::Row row) const {
    return T(attn::RealOf<T>(numbers.value[(numbers.per_head ? n_parameters * row.head : 0) + p]));
  }
};

/// Makes a trained activation with the given numbers in the memory of the kernel.
template <template <class> class A>
auto learned(std::vector<double> const& values, bool per_head) {
  return [=](auto& arrays, double) {
    return A<double>{{arrays.put(values), arrays.put(std::vector<double>(values.size(), 0.0)), per_head}};
  };
}
template <class R>
using LearnedCube = attn::Poly<3, attn::BasicDynamicScale<R>>;

template <class Kernel>
class Gradients : public ::testing::Test {
 protected:
  /// The loss is <d_out, out>; shapes are small, for every number is tried.
  template <class MakeActivation, class MakeMask>
  static void expect_differences(Shape const& s, MakeActivation const& make_activation, MakeMask const& make_mask) {
    attn_test::expect_differences(random_inputs<double>(s),
                                  [&](auto const& in) { return run<Kernel>(in, make_activation, make_mask); });
  }

  template <template <class> class A>
  static void expect_parameter_differences(Shape const& s, std::vector<double> const& values, bool per_head) {
    auto const in = random_inputs<double>(s);
    auto const mask = window({.before = 2, .after = 3});
    auto const result = run<Kernel>(in, learned<A>(values, per_head), mask);
    ASSERT_EQ(result.d_parameters.size(), values.size());
    auto const loss = [&](std::size_t i, double shift) {
      auto moved = values;
      moved[i] += shift;
      return inner(in.d_out, run<Kernel>(in, learned<A>(moved, per_head), mask).out);
    };
    Verdict const verdict = gradcheck(loss, result.d_parameters, {.tolerance = 1e-8});
    EXPECT_TRUE(verdict) << verdict.message();
  }

  static constexpr Shape small{
      .batch = 2, .heads = 2, .kv_heads = 1, .queries = 3, .keys = 4, .width = 3, .value_width = 2};
};

using Kernels = ::testing::Types<Reference, Portable, Chosen>;
TYPED_TEST_SUITE(Gradients, Kernels);

TYPED_TEST(Gradients, OfSoftmaxAreItsDifferences) {
  this->expect_differences(this->small, plain(attn::Softmax{}), full());
  this->expect_differences(this->small, plain(attn::Softmax{}), window({.before = 1, .after = 0}, {4, 1}));
}

TYPED_TEST(Gradients, OfACubeAreItsDifferences) {
  this->expect_differences(this->small, dynamic_poly<3>({0.3}), full());
  this->expect_differences(this->small, dynamic_poly<3>({0.3, -0.7}), window({.before = 1, .after = 0}, {4, 1}));
}

TYPED_TEST(Gradients, OfASigmoidAreItsDifferences) {
  this->expect_differences(this->small, plain(attn::Sigmoid{.log_n = 1}), full());
}

TYPED_TEST(Gradients, OfNumeratorsOverTheSumOfTheirSizesAreItsDifferences) {
  this->expect_differences(this->small, plain(attn::L1Normalized{}), window({.before = 2, .after = 1}, {4, 3}));
}

TYPED_TEST(Gradients, OfAnActivationWithoutASlopeAreItsDifferences) {
  this->expect_differences(this->small, plain(Sine{}), window({.before = 1, .after = 0}, {4, 1}));
}

TYPED_TEST(Gradients, OfATrainedScaleAreItsDifferences) {
  Shape const s{.batch = 2, .heads = 4, .kv_heads = 2, .queries = 5, .keys = 7};
  this->template expect_parameter_differences<LearnedCube>(s, {0.3}, false);
  this->template expect_parameter_differences<LearnedCube>(s, {0.3, -0.7, 0.0, 1.5}, true);
}

TYPED_TEST(Gradients, OfSeveralTrainedNumbersAreTheirDifferences) {
  Shape const s{.batch = 2, .heads = 2, .kv_heads = 2, .queries = 5, .keys = 37};
  this->template expect_parameter_differences<LearnedTanh>(s, {0.6, 1.2}, false);
  this->template expect_parameter_differences<LearnedTanh>(s, {0.6, 1.2, -0.5, 0.4}, true);
}

TYPED_TEST(Gradients, OfTrainedNumbersAreAddedToWhatIsThere) {
  auto const in = random_inputs<double>({});
  auto const from = [&](double start) {
    auto const make = [start](auto& arrays, double) {
      return LearnedCube<double>{{arrays.put(std::vector<double>{0.3}), arrays.put(std::vector<double>{start}), false}};
    };
    return run<TypeParam>(in, make, full()).d_parameters[0];
  };
  EXPECT_NEAR(from(5) - from(0), 5, 1e-12);
}

TYPED_TEST(Gradients, AreNotAskedOfNumbersWithoutAGradient) {
  auto const in = random_inputs<double>({});
  auto const frozen = [](auto& arrays) {
    return attn::Poly<3, attn::BasicDynamicScale<double>>{{arrays.put(std::vector<double>{0.3})}};
  };
  using Memory = typename TypeParam::Exec::memory_space;
  Arrays<Memory> arrays;
  auto const a = frozen(arrays);
  using X = attn::Tensor<double, 4, Memory>;
  Shape const& s = in.shape;
  X const q(arrays.put(in.q), {s.batch, s.heads, s.queries, s.width});
  X const k(arrays.put(in.k), {s.batch, s.kv_heads, s.keys, s.width});
  X const v(arrays.put(in.v), {s.batch, s.kv_heads, s.keys, s.value_width});
  X const out(arrays.put(in.d_out), {s.batch, s.heads, s.queries, s.value_width});
  attn::Saved<std::remove_const_t<decltype(a)>, double, Memory> const saved(s.batch, s.heads, s.queries);
  typename TypeParam::Exec const exec;
  TypeParam::forward(exec, a, q, k, v, out, saved, attn::AttentionOptions<>{});
  X const d_q(arrays.put(in.q), q.extents()), d_k(arrays.put(in.k), k.extents()), d_v(arrays.put(in.v), v.extents());
  EXPECT_NO_THROW(TypeParam::backward(exec, a, q, k, v, out, saved, out, d_q, d_k, d_v, attn::AttentionOptions<>{}));
  exec.fence();
}

}  // namespace
