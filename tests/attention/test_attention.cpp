// Fast kernels against the textbook, for awkward sizes, masks and activations.
#include "attn/attention/attention.hpp"

#include <gtest/gtest.h>

#include "attention/cases.hpp"

namespace {

using namespace attn_test;

/// A user's activation, whose derivative comes from a jet.
struct SquaredRelu {
  template <class T>
  ATTN_FUNCTION T operator()(T score, attn::Row row) const {
    T const positive = attn::max(score, T(0));
    return positive * positive / T(row.n_keys);
  }
};

template <class KernelAndScalar>
class Attention : public ::testing::Test {
 protected:
  using Kernel = typename KernelAndScalar::first_type;
  using T = typename KernelAndScalar::second_type;

  template <class MakeActivation, class MakeMask>
  static void expect_reference(Shape const& s, MakeActivation const& make_activation, MakeMask const& make_mask,
                               double score_scale = 0) {
    auto const in = random_inputs<T>(s);
    auto const got = run<Kernel>(in, make_activation, make_mask, score_scale);
    auto const want = run<Reference>(as_double(in), make_activation, make_mask, score_scale);
    double const length = double(s.keys + s.queries) * double(s.heads / std::max<Index>(s.kv_heads, 1)) * 8;
    expect_agreement(got, want, length, s);
  }

  template <class MakeMask>
  static void expect_reference_for_all(Shape const& s, MakeMask const& make_mask) {
    expect_reference(s, plain(attn::Softmax{}), make_mask);
    expect_reference(s, dynamic_poly<3>({0.375}), make_mask);
    expect_reference(s, plain(SquaredRelu{}), make_mask);
  }
};

// The packed kernels of hosts meet both scalars in test_host.cpp.
using Kernels = ::testing::Types<std::pair<Portable, double>, std::pair<Chosen, float>>;
TYPED_TEST_SUITE(Attention, Kernels);

TYPED_TEST(Attention, AgreesWithTheTextbookForAnyNumberOfTokens) {
  for (Index const n : {1, 2, 3, 13, 31, 33, 67}) {
    for (Index const m : {1, 2, 17, 65, 131}) {
      this->expect_reference_for_all({.batch = 1, .heads = 1, .kv_heads = 1, .queries = n, .keys = m}, full());
    }
  }
}

TYPED_TEST(Attention, AgreesWithTheTextbookForAnyWidths) {
  for (Index const d : {1, 2, 3, 17, 64, 65}) {
    for (Index const e : {1, 5, 16, 64}) {
      this->expect_reference_for_all(
          {.batch = 1, .heads = 2, .kv_heads = 1, .queries = 5, .keys = 9, .width = d, .value_width = e}, full());
    }
  }
}

TYPED_TEST(Attention, AgreesWithTheTextbookForGroupsOfHeads) {
  for (Index const kv_heads : {1, 2, 3, 6}) {
    this->expect_reference_for_all({.batch = 3, .heads = 6, .kv_heads = kv_heads, .queries = 11, .keys = 7}, full());
  }
}

TYPED_TEST(Attention, AgreesWithTheTextbookUnderAWindow) {
  for (Index const n : {1, 40, 67}) {
    this->expect_reference_for_all({.queries = n, .keys = 67}, window({.before = 5, .after = 2}));
    this->expect_reference_for_all({.queries = n, .keys = 67}, window({.before = 0, .after = 1, .offset = -3}));
  }
}

TYPED_TEST(Attention, AgreesWithTheTextbookUnderTwoMasks) {
  // Lengths from none to all; causal from the first key, from the last, and with queries that see nothing.
  for (int const offset : {0, 32, -20}) {
    this->expect_reference_for_all({.batch = 4, .queries = 40, .keys = 72},
                                   window({.before = 1000, .after = 0, .offset = offset}, {0, 1, 33, 72}));
  }
}

// To activations a packed sequence has as many keys as a group.
TYPED_TEST(Attention, AgreesWithTheTextbookInPackedSequences) {
  this->expect_reference_for_all({.queries = 100, .keys = 100}, groups(49, 49));
  this->expect_reference_for_all({.queries = 67, .keys = 72}, groups(3, 5, {.before = 100, .after = 0, .offset = 30}));
  this->expect_reference_for_all({.batch = 17, .queries = 6, .keys = 7}, groups(4, 3));
}

TYPED_TEST(Attention, TakesAScaleOfScores) {
  this->expect_reference({}, plain(attn::Softmax{}), full(), 0.3);
  this->expect_reference({}, plain(SquaredRelu{}), full(), -0.3);
}

TYPED_TEST(Attention, WithoutKeysIsZero) {
  using T = typename TypeParam::second_type;
  using Kernel = typename TypeParam::first_type;
  auto const expect_zero = [](Shape const& s, auto const& make_activation, auto const& make_mask) {
    auto const result = run<Kernel>(random_inputs<T>(s), make_activation, make_mask);
    for (auto const* array : {&result.out, &result.d_q, &result.d_k, &result.d_v}) {
      for (T const x : *array) EXPECT_EQ(x, T(0));
    }
  };
  auto const nobody = lengths({0, 0});
  expect_zero({}, plain(attn::Softmax{}), nobody);
  expect_zero({}, plain(attn::Sigmoid{}), nobody);  // 1/2 at a score of zero, but there is no score
  expect_zero({.keys = 0}, plain(attn::Softmax{}), full());
  expect_zero({.keys = 0}, plain(SquaredRelu{}), full());
}

TYPED_TEST(Attention, OfNothingIsNothing) {
  using T = typename TypeParam::second_type;
  using Kernel = typename TypeParam::first_type;
  for (Shape const& s : {Shape{.batch = 0}, Shape{.queries = 0}, Shape{.heads = 0, .kv_heads = 0}}) {
    auto const result = run<Kernel>(random_inputs<T>(s), plain(attn::Softmax{}), full());
    EXPECT_EQ(result.out.size(), 0u);
    for (T const x : result.d_k) EXPECT_EQ(x, T(0));  // no query pulls on the keys
    for (T const x : result.d_v) EXPECT_EQ(x, T(0));
  }
}

TYPED_TEST(Attention, OfValuesWithoutWidthHasNoGradient) {
  using T = typename TypeParam::second_type;
  using Kernel = typename TypeParam::first_type;
  auto const result = run<Kernel>(random_inputs<T>({.value_width = 0}), plain(attn::Softmax{}), full());
  for (T const x : result.d_q) EXPECT_EQ(x, T(0));
  for (T const x : result.d_k) EXPECT_EQ(x, T(0));
}

TYPED_TEST(Attention, OfLargeScoresStaysFinite) {
  using T = typename TypeParam::second_type;
  using Kernel = typename TypeParam::first_type;
  auto in = random_inputs<T>({});
  for (T& x : in.q) x *= T(1000);
  auto const result = run<Kernel>(in, plain(attn::Softmax{}), full());
  for (auto const* array : {&result.out, &result.d_q, &result.d_k, &result.d_v}) {
    for (T const x : *array) EXPECT_TRUE(std::isfinite(x));
  }
}

TYPED_TEST(Attention, GivesTheSameBitsAgain) {
  using T = typename TypeParam::second_type;
  using Kernel = typename TypeParam::first_type;
  auto const in = random_inputs<T>({.batch = 3, .heads = 4, .kv_heads = 2, .queries = 67, .keys = 45});
  auto const once = run<Kernel>(in, dynamic_poly<3>({0.375}), window({.before = 1000, .after = 0}));
  auto const again = run<Kernel>(in, dynamic_poly<3>({0.375}), window({.before = 1000, .after = 0}));
  EXPECT_TRUE(agree(once, again, 0));
}

// Zero times a number that is not finite is no zero: what a mask hides is left out, forward and backward.
TYPED_TEST(Attention, IsIndifferentToWhatAMaskHides) {
  using T = typename TypeParam::second_type;
  using Kernel = typename TypeParam::first_type;
  auto const expect = [](Shape const& s, auto const& make_mask, char const* what) {
    for (auto const& in : with_numbers_that_are_not_finite(random_inputs<T>(s))) {
      auto const check = [&](auto const& make_activation) {
        auto const verdict = agree_where_finite(run<Kernel>(in, make_activation, make_mask),
                                                run<Reference>(as_double(in), make_activation, make_mask), 1e-3, s);
        EXPECT_TRUE(verdict) << what << ", N " << s.queries << ", M " << s.keys << "\n" << verdict.message();
      };
      check(plain(attn::Softmax{}));
      check(dynamic_poly<3>({0.375}));
    }
  };
  Shape const long_ones{.batch = 2, .heads = 2, .kv_heads = 1, .queries = 67, .keys = 70};
  Shape const few{.queries = 3, .keys = 70, .width = 16, .value_width = 16};
  Shape const short_ones{.batch = 17, .heads = 2, .kv_heads = 1, .queries = 3, .keys = 3};
  for (Shape const& s : {long_ones, few, short_ones}) {
    expect(s, causal(int(s.keys - s.queries)), "causal");
    expect(s, window({.before = 1, .after = 1}), "window");
    expect(s, window({.before = 40, .after = 2, .offset = 3}), "wide window");
    expect(s, groups(2, 2), "groups");
    std::vector<int> some(std::size_t(s.batch), int(s.keys) - 1);
    expect(s, lengths(some), "lengths");
    some[0] = 1;
    some.back() = 0;
    expect(s, lengths(some), "unlike lengths");
  }
}

TYPED_TEST(Attention, OfValuesThatAreOneWhereTheyAreSeenIsOne) {
  using T = typename TypeParam::second_type;
  using Kernel = typename TypeParam::first_type;
  auto const expect_ones = [](Shape const& s, auto const& make_mask, Index hidden_from) {
    auto in = random_inputs<T>(s);
    for (std::size_t i = 0; i < in.v.size(); ++i) {
      bool const is_hidden = Index(i) / s.value_width % s.keys >= hidden_from;
      in.v[i] = is_hidden ? std::numeric_limits<T>::quiet_NaN() : T(1);
    }
    auto const out = run<Kernel>(in, plain(attn::Softmax{}), make_mask).out;
    for (Index h = 0; h < s.batch * s.heads; ++h) {
      EXPECT_NEAR(out[std::size_t(h * s.queries * s.value_width)], T(1), 1e-5);
    }
  };
  Shape const ten{.batch = 1, .heads = 1, .kv_heads = 1, .queries = 10, .keys = 10, .width = 8, .value_width = 8};
  expect_ones(ten, causal(0), 9);
  expect_ones(ten, window({.before = 1, .after = 1}), 9);
  expect_ones({.batch = 64, .queries = 5, .keys = 5}, lengths(std::vector<int>(64, 2)), 2);
}

TYPED_TEST(Attention, TakesTheLargestNumberForNoBound) {
  constexpr int none = std::numeric_limits<int>::max();
  for (Index const n : {3, 67}) {
    Shape const s{.queries = n, .keys = 67};
    this->expect_reference(s, plain(attn::Softmax{}), window({.before = 4, .after = none}));
    this->expect_reference(s, plain(attn::Softmax{}), window({.before = none, .after = 2, .offset = 3}));
    this->expect_reference(s, plain(attn::Softmax{}), window({.before = none, .after = none, .offset = -1}));
  }
}

}  // namespace
