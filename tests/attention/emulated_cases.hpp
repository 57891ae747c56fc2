/// Masks, shapes and activations for tests of the kernels for CUDA.
#pragma once

#include <gtest/gtest.h>

#include <string>

#include "emulated_attention.hpp"

#define EXPECT_SOUND(...)                                      \
  do {                                                         \
    attn::testing::Verdict const attn_verdict = __VA_ARGS__;   \
    EXPECT_TRUE(bool(attn_verdict)) << attn_verdict.message(); \
  } while (false)

namespace attn_test {

/// Masks themselves, where those of cases.hpp wait for memory and a shape.
namespace emulated {

inline constexpr int all = 1 << 20;
inline constexpr std::array<int, 2> unpadded = {all, all};

inline AnyMask full() { return {{.before = all, .after = all}, {unpadded.data()}}; }
inline AnyMask causal(int offset = 0) { return {{.before = all, .after = 0, .offset = offset}, {unpadded.data()}}; }
inline AnyMask window(int before, int after) { return {{.before = before, .after = after}, {unpadded.data()}}; }
inline AnyMask lengths(std::array<int, 2> const& n) { return {{.before = all, .after = all}, {n.data()}}; }
inline AnyMask groups(int queries, int keys, attn::Window const& w = {.before = all, .after = all}) {
  return {w, {unpadded.data()}, queries, keys};
}

}  // namespace emulated

inline Shape shape(Index queries, Index keys, Index width, Index value_width) {
  return {.batch = 1,
          .heads = 2,
          .kv_heads = 1,
          .queries = queries,
          .keys = keys,
          .width = width,
          .value_width = value_width};
}
inline Shape square(Index n, Index width) { return shape(n, n, width, width); }

/// check(inputs) under each kind of mask: `queries` and 310 keys, dense; heads that share keys, with gaps between rows;
/// and sequences whose padding is NaN.
template <class A, class Check>
void for_masked_inputs(A const& a, Index queries, Index width, Check const& check) {
  namespace of = emulated;  // cases.hpp has masks of these names, too
  using Inputs = EmulatedInputs<A>;
  for (AnyMask const& mask : {of::full(), of::causal(-3), of::window(30, 7), of::groups(130, 70)}) {
    check(Inputs{a, shape(queries, 310, width, width), mask});
    Shape grouped = shape(70, 203, width, width - 12);
    grouped.heads = 4;
    grouped.kv_heads = 2;
    check(Inputs{a, grouped, mask, {true, 8, 16}});
  }
  Shape padded = square(201, width);
  padded.batch = 2;
  for (std::array<int, 2> const n : {std::array{70, 129}, std::array{0, 200}}) {
    check(Inputs{a, padded, of::lengths(n), {}, 0, true});
  }
}

/// check(inputs) under masks that hide keys in the midst of tiles, for heads that share keys, with gaps between rows: a
/// window; packed sequences; sequences whose padding is NaN, one of them nothing else. `in`: an activation, and what is
/// not said of here.
template <class In, class Check>
void for_hidden_keys(In in, Index queries, Index width, Check const& check) {
  namespace of = emulated;
  Index const keys = queries + 3;
  in.shape = shape(queries, keys, width, width - 8);
  in.layout = {true, 8, 16};
  for (AnyMask const& mask :
       {of::window(int(queries) / 4, int(queries) / 8), of::groups(int(queries) / 2, int(keys) / 3)}) {
    in.mask = mask;
    check(in);
  }
  std::array<int, 2> const n = {int(keys) * 3 / 4, 0};
  in.shape.batch = 2;
  in.mask = of::lengths(n);
  in.padding_is_nan = true;
  check(in);
}

inline std::string name_of(Shape const& s) {
  return std::to_string(s.queries) + " queries, " + std::to_string(s.keys) + " keys, widths " +
         std::to_string(s.width) + " and " + std::to_string(s.value_width);
}

using Dynamic = attn::Poly<3, attn::DynamicScale>;
inline Dynamic dynamic() {
  static float const scale = 0.3f;
  static float d_scale = 0;
  return {{&scale, &d_scale, false}};
}

/// A scale for each of four heads.
inline Dynamic dynamic_by_heads() {
  static float const scales[] = {0.3f, -0.2f, 0, 0.5f};
  static float d_scales[4] = {};
  return {{scales, d_scales, true}};
}

/// e^s / (1 + the sum of all e^s), gathered without absorb_tile: every thread absorbs the whole row.
struct SoftmaxWithSink {
  template <class T>
  struct Stats {
    T max = T(0);
    T sum = T(1);
  };
  template <class T>
  ATTN_FUNCTION T absorb(Stats<T>& stats, T s) const {
    T const max = attn::max(stats.max, s), factor = attn::exp(stats.max - max);
    stats.sum = stats.sum * factor + attn::exp(s - max);
    stats.max = max;
    return factor;
  }
  template <class T>
  ATTN_FUNCTION T numerator(T s, Stats<T> const& stats) const {
    return attn::exp(s - stats.max);
  }
  template <class T>
  ATTN_FUNCTION T normalizer(Stats<T> const& stats) const {
    return stats.sum;
  }
  template <class T>
  ATTN_FUNCTION T pullback(T w, T d_w, T delta) const {
    return w * (d_w - delta);
  }
};

struct SquaredRelu {  // of a user: the slope comes from a jet, and the weight of a hidden score is not zero by itself
  template <class T>
  ATTN_FUNCTION T operator()(T score, attn::Row row) const {
    T const positive = attn::max(score + T(0.25f), T(0));
    return positive * positive / T(attn::RealOf<T>(row.n_keys));
  }
};

struct EntropyOfSizes {  // not a number at zero
  template <class T>
  ATTN_FUNCTION T operator()(T score, attn::Row) const {
    return score * attn::log(attn::abs(score));
  }
};

}  // namespace attn_test
