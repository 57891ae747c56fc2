// The packed host kernels against the textbook, around every constant of their tiles. The file is compiled three times:
// for this machine, for AVX2, and for the baseline of the architecture.
#include "attn/attention/attention.hpp"

#include <gtest/gtest.h>

#include <set>
#include <sstream>

#include "attention/cases.hpp"

namespace {

using namespace attn_test;
namespace host = attn::detail::host;

/// s^2 / (1 + sum s^2): a row-normalised activation with nothing but what the concept demands.
struct NormalisedSquare {
  template <class T>
  struct Stats {
    T sum = T(1);
  };
  template <class T>
  ATTN_FUNCTION T absorb(Stats<T>& stats, T s) const {
    stats.sum += s * s;
    return T(1);
  }
  template <class T>
  ATTN_FUNCTION T numerator(T s, Stats<T> const&) const {
    return s * s;
  }
  template <class T>
  ATTN_FUNCTION T normalizer(Stats<T> const& stats) const {
    return stats.sum;
  }
  /// Not the derivative of the weights above, whose score it is not given, but linear in d_w and delta as one would be.
  template <class T>
  ATTN_FUNCTION T pullback(T w, T d_w, T delta) const {
    return w * (d_w - delta) * T(2);
  }
};

struct Host {
  using Exec = Kokkos::DefaultHostExecutionSpace;

  template <class A, class X, class Saved, class Options>
  static void forward(Exec const& exec, A const& a, X q, X k, X v, X out, Saved const& saved, Options const& options) {
    static_assert(
        attn::detail::is_packed_host(attn::detail::kernel_by_types<attn::Pass::forward, Exec, A, Options, X>));
    attn::attention(exec, a, q, k, v, out, saved, options);
  }
  template <class A, class X, class Saved, class Options>
  static void backward(Exec const& exec, A const& a, X q, X k, X v, X out, Saved const& saved, X d_out, X d_q, X d_k,
                       X d_v, Options const& options) {
    attn::attention_backward(exec, a, q, k, v, out, saved, d_out, d_q, d_k, d_v, options);
  }
};

template <class T>
class HostAttention : public ::testing::Test {
 protected:
  static constexpr Index pack = host::pack_width<T>, block = host::block_queries<T>, tile = host::key_tile,
                         last_tile = host::last_key_tile;

  template <class MakeActivation, class MakeMask>
  static void expect_textbook(char const* name, Shape const& s, MakeActivation const& make_activation,
                              MakeMask const& make_mask) {
    auto const in = random_inputs<T>(s);
    auto const got = run<Host>(in, make_activation, make_mask);
    auto const want = run<Reference>(as_double(in), make_activation, make_mask);
    double const group = double(s.heads) / double(std::max<Index>(s.kv_heads, 1));
    double const length = (double(s.keys) + double(s.queries) * group + double(s.width + s.value_width)) * 8;
    std::ostringstream what;
    what << name << ": B " << s.batch << ", H " << s.heads << "/" << s.kv_heads << ", N " << s.queries << ", M "
         << s.keys << ", D " << s.width << ", E " << s.value_width;
    auto const verdict = agree(got, want, attn::testing::tolerance<T>(length));
    EXPECT_TRUE(bool(verdict)) << what.str() << "\n" << verdict.message();
  }

  template <class MakeMask>
  static void expect_textbook_for_all(Shape const& s, MakeMask const& make_mask) {
    expect_textbook("softmax", s, plain(attn::Softmax{}), make_mask);
    std::vector<double> scales;
    for (Index h = 0; h < s.heads; ++h) scales.push_back(0.5 - 0.125 * double(h));
    expect_textbook("poly", s, dynamic_poly<3>(scales), make_mask);
  }
};

#if defined(ATTN_TEST_SCALARS)
using Scalars = ::testing::Types<ATTN_TEST_SCALARS>;
#else
using Scalars = ::testing::Types<float, double>;
#endif
TYPED_TEST_SUITE(HostAttention, Scalars);

TYPED_TEST(HostAttention, AgreesWithTheTextbookForQueriesAroundEveryBlock) {
  using F = HostAttention<TypeParam>;
  std::set<Index> sizes{1, 2, 3, 5, 17};
  for (Index const n : {F::pack / 2, F::pack, 2 * F::pack, F::block, 2 * F::block}) {
    for (Index const d : {-1, 0, 1}) sizes.insert(std::max<Index>(n + d, 1));
  }
  for (Index const n : sizes) {
    F::expect_textbook_for_all({.batch = 1, .heads = 2, .kv_heads = 2, .queries = n, .keys = 13}, full());
  }
}

TYPED_TEST(HostAttention, AgreesWithTheTextbookForFewQueriesOfWholePacks) {
  using F = HostAttention<TypeParam>;
  Index const few = host::few_queries<TypeParam>, p = F::pack;
  for (Index const n : std::set<Index>{1, few, few + 1, F::block + 1, F::block + few}) {
    for (Index const m : std::set<Index>{1, p - 1, p, p + 1, F::last_tile, F::last_tile + 1, 2 * F::tile + p + 3}) {
      Shape const s{.heads = 4, .kv_heads = 2, .queries = n, .keys = m, .width = p, .value_width = 3 * p};
      F::expect_textbook_for_all(s, full());
      F::expect_textbook_for_all(s, window({.before = 10, .after = 5, .offset = 7}, {int(m), int(m) / 2}));
      F::expect_textbook("square", s, plain(NormalisedSquare{}), window({.before = 60, .after = 0, .offset = 3}));
    }
  }
}

// So many keys that threads share them.
TYPED_TEST(HostAttention, AgreesWithTheTextbookForFewQueriesOfLongRows) {
  using F = HostAttention<TypeParam>;
  Index const p = F::pack;
  for (Index const n : {1, 2}) {
    Shape const s{.heads = 2, .kv_heads = 1, .queries = n, .keys = 4099, .width = p, .value_width = 3 * p};
    F::expect_textbook_for_all(s, window({.before = 2000, .after = 5, .offset = 3000}, {4099, 1100}));
    F::expect_textbook("square", s, plain(NormalisedSquare{}), full());
  }
}

TYPED_TEST(HostAttention, AgreesWithTheTextbookForManyShortSequences) {
  using F = HostAttention<TypeParam>;
  Index const p = F::pack;
  for (Index const tokens : std::set<Index>{1, 2, std::max<Index>(p / 2 - 1, 1), p / 2}) {
    for (Index const batch : {p, 2 * p + 3}) {
      Shape const s{.batch = batch, .heads = 4, .kv_heads = 2, .queries = tokens, .keys = tokens};
      std::vector<int> every_other;
      for (Index b = 0; b < batch; ++b) every_other.push_back(b < p ? int(tokens) : int(b % (tokens + 1)));
      F::expect_textbook_for_all(s, full());
      F::expect_textbook_for_all(s, causal(0));
      F::expect_textbook_for_all(s, causal(-1));            // the first query sees nothing
      F::expect_textbook_for_all(s, lengths(every_other));  // the first group is alike, the others are not
      F::expect_textbook("square", s, plain(NormalisedSquare{}), full());
    }
  }
}

TYPED_TEST(HostAttention, AgreesWithTheTextbookForKeysAroundEveryTile) {
  using F = HostAttention<TypeParam>;
  std::set<Index> sizes{1, 2, 3, 7, 8, 9};
  for (Index const m : {F::tile, F::last_tile, F::tile + F::last_tile, 2 * F::tile + F::last_tile}) {
    for (Index const d : {-1, 0, 1}) sizes.insert(m + d);
  }
  for (Index const m : sizes) {
    F::expect_textbook_for_all({.batch = 1, .heads = 1, .kv_heads = 1, .queries = 11, .keys = m}, full());
  }
}

TYPED_TEST(HostAttention, AgreesWithTheTextbookForWidthsAroundEveryPack) {
  using F = HostAttention<TypeParam>;
  Index const p = F::pack;
  for (Index const width : std::set<Index>{1, 2, p - 1, p, p + 1, 2 * p, 3 * p + 1, 64, 101, 256}) {
    if (width < 1) continue;
    F::expect_textbook_for_all({.heads = 1, .kv_heads = 1, .queries = 19, .keys = 23, .width = width, .value_width = 3},
                               full());
    F::expect_textbook_for_all({.heads = 1, .kv_heads = 1, .queries = 19, .keys = 23, .width = 3, .value_width = width},
                               full());
  }
}

TYPED_TEST(HostAttention, AgreesWithTheTextbookUnderMasksThatCutTiles) {
  using F = HostAttention<TypeParam>;
  Shape const square{.queries = 131, .keys = 131}, wide{.queries = 37, .keys = 149}, tall{.queries = 149, .keys = 37};
  for (Shape const& s : {square, wide, tall}) {
    F::expect_textbook_for_all(s, window({.before = 1 << 20, .after = 0}));                // causal
    F::expect_textbook_for_all(s, window({.before = 1 << 20, .after = 0, .offset = -9}));  // first queries see nothing
    F::expect_textbook_for_all(s, window({.before = 10, .after = 5}, {int(s.keys), 21}));
    F::expect_textbook_for_all(s, lengths({int(s.keys), 0}));
  }
}

TYPED_TEST(HostAttention, AgreesWithTheTextbookForGroupsOfHeads) {
  using F = HostAttention<TypeParam>;
  F::expect_textbook_for_all({.heads = 6, .kv_heads = 2, .queries = 53, .keys = 67, .width = 8, .value_width = 5},
                             full());
  F::expect_textbook_for_all({.heads = 4, .kv_heads = 1, .queries = 5, .keys = 5, .width = 16, .value_width = 16},
                             full());
}

TYPED_TEST(HostAttention, AgreesWithTheTextbookWhenOneHeadIsCutIntoParts) {
  using F = HostAttention<TypeParam>;
  F::expect_textbook("softmax", {.batch = 1, .heads = 1, .kv_heads = 1, .queries = 1361, .keys = 71},
                     plain(attn::Softmax{}), full());
  F::expect_textbook("poly", {.batch = 1, .heads = 3, .kv_heads = 1, .queries = 701, .keys = 71},
                     dynamic_poly<3>({0.5}), window({.before = 100, .after = 100}));
}

// Blocks of queries are cut where a sequence ends, and a part of the queries has gradients of the keys that it sees.
TYPED_TEST(HostAttention, AgreesWithTheTextbookInPackedSequences) {
  using F = HostAttention<TypeParam>;
  Shape const s{.heads = 2, .kv_heads = 1, .queries = 150, .keys = 150};
  for (int const group : {3, 4, 5, 31, 49, 149}) F::expect_textbook_for_all(s, groups(group, group));
  F::expect_textbook_for_all(s, groups(49, 30, {.before = 1 << 20, .after = 0, .offset = 5}));
  F::expect_textbook("softmax", {.batch = 1, .heads = 2, .kv_heads = 1, .queries = 1361, .keys = 1361},
                     plain(attn::Softmax{}), groups(70, 70));
  F::expect_textbook("poly", {.batch = 1, .heads = 2, .kv_heads = 1, .queries = 1361, .keys = 1361},
                     dynamic_poly<3>({0.5}), window({.before = 3, .after = 40}));
}

TYPED_TEST(HostAttention, TakesARowNormalisedActivationWithoutTheOptionalMember) {
  using F = HostAttention<TypeParam>;
  for (Index const n : {1, 37, 131}) {
    F::expect_textbook("square", {.queries = n, .keys = 131}, plain(NormalisedSquare{}),
                       window({.before = 60, .after = 0, .offset = 3}));
  }
}

TYPED_TEST(HostAttention, OfNothingIsNothing) {
  using F = HostAttention<TypeParam>;
  F::expect_textbook_for_all({.batch = 0}, full());
  auto const without_heads =
      run<Host>(random_inputs<TypeParam>({.heads = 0, .kv_heads = 0}), plain(attn::Softmax{}), full());
  EXPECT_TRUE(without_heads.out.empty());
  F::expect_textbook_for_all({.queries = 0}, full());
  F::expect_textbook_for_all({.keys = 0}, full());
  F::expect_textbook_for_all({.value_width = 0}, full());
  F::expect_textbook_for_all({.batch = 64, .queries = 0}, full());
  F::expect_textbook_for_all({.batch = 64, .keys = 0}, full());
  F::expect_textbook_for_all({.batch = 64, .queries = 1, .keys = 1, .value_width = 0}, full());
}

}  // namespace
