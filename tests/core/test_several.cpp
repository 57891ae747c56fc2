#include "attn/core/several.hpp"

#include <cstring>

#include "support.hpp"

namespace {

using attn::Several;
using attn::SeveralLanes;

/// Each number has the bits that a function gives it alone.
template <class T, int W, class Function>
void expect_each(Function const& f) {
  Several<T, W> const a = Several<T, W>::of([](int l) { return T(0.3) * T(l + 1) - T(0.8); }),
                      b = Several<T, W>::of([](int l) { return T(1.1) - T(0.4) * T(l); });
  Several<T, W> const all = f(a, b);
  for (int l = 0; l < W; ++l) {
    T const alone = f(a[l], b[l]), together = all[l];
    EXPECT_EQ(std::memcmp(&alone, &together, sizeof(T)), 0) << together << " is not " << alone;
  }
}

template <class T, int W>
void expect_functions() {
  expect_each<T, W>([](auto a, auto b) { return a + b * a - b / a; });
  expect_each<T, W>([](auto a, auto b) {
    a += b;
    a *= b;
    a -= b;
    a /= b;
    return -a;
  });
  expect_each<T, W>([](auto a, auto b) { return attn::max(a, b) + attn::min(a, b) * attn::larger_number(a, b); });
  expect_each<T, W>([](auto a, auto b) { return attn::where_greater(a, b, b, a) + attn::where_largest(a, b, a, -b); });
  expect_each<T, W>([](auto a, auto b) { return attn::exp(a) + attn::log(attn::abs(b)) + attn::sqrt(attn::abs(a)); });
  expect_each<T, W>([](auto a, auto b) { return attn::sin(a) + attn::cos(b) + attn::tanh(a) + attn::erf(b); });
  expect_each<T, W>([](auto a, auto) { return attn::exp_nonpositive(-attn::abs(a)); });
  expect_each<T, W>([](auto a, auto) { return attn::power<3>(a) * decltype(a)(attn::RealOf<decltype(a)>(0.5)); });
}

TEST(Several, ComputesAsEachNumberAlone) {
  expect_functions<float, 4>();
  expect_functions<float, 8>();
  expect_functions<double, 2>();
}

/// Loads and stores `n` of W numbers that begin `shift` numbers behind a multiple of 16 bytes, and no others.
template <class Stored, int W>
void expect_moved(int shift, int n) {
  using T = attn::AccumulatorOf<Stored>;
  alignas(16) Stored from[4 * W], to[4 * W];
  for (int i = 0; i < 4 * W; ++i) from[i] = Stored(float(i + 1)), to[i] = Stored(-1.0f);
  SeveralLanes<T, W> const lanes{n};
  auto const loaded = lanes.load(from + shift);
  lanes.store(to + shift, loaded + loaded);
  for (int l = 0; l < W; ++l) EXPECT_EQ(loaded[l], l < n ? T(shift + l + 1) : T(0));
  for (int i = 0; i < 4 * W; ++i) {
    EXPECT_EQ(T(to[i]), i >= shift && i < shift + n ? T(2 * (i + 1)) : T(-1)) << "shift " << shift << ", n " << n;
  }
}

TEST(SeveralLanes, MoveTheirNumbersAndNoOthers_WhereverTheyBegin) {
  for (int shift = 0; shift <= 8; ++shift) {
    for (int n = 0; n <= 8; ++n) {
      expect_moved<attn::BFloat16, 8>(shift, n);
      if (n <= 8) expect_moved<float, 8>(shift, n);
      if (n <= 4) expect_moved<float, 4>(shift, n);
      if (n <= 4) expect_moved<attn::BFloat16, 4>(shift, n);
      if (n <= 2 && shift <= 4) expect_moved<double, 2>(shift, n);
    }
  }
}

TEST(SeveralLanes, SelectAndNumberTheirLanes) {
  SeveralLanes<float, 4> const lanes{3};
  auto const numbers = lanes.numbers(5), chosen = lanes.select(numbers, Several<float, 4>(-1.0f));
  for (int l = 0; l < 4; ++l) {
    EXPECT_EQ(numbers[l], float(5 + l));
    EXPECT_EQ(chosen[l], l < 3 ? float(5 + l) : -1.0f);
    EXPECT_EQ(lanes.generate([](int lane) { return float(lane + 1); })[l], l < 3 ? float(l + 1) : 0.0f);
  }
}

}  // namespace
