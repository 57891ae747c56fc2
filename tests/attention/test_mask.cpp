#include "attn/attention/mask.hpp"
#include "attn/io/npy.hpp"

#include <gtest/gtest.h>

#include <limits>
#include <string>
#include <type_traits>
#include <vector>

namespace {

using attn::Both;
using attn::Causal;
using attn::Full;
using attn::KeyPadding;
using attn::KeyRange;
using attn::Query;
using attn::Window;

static_assert(attn::Mask<Full> && attn::Mask<Causal> && attn::Mask<Window> && attn::Mask<KeyPadding>);
static_assert(attn::Mask<Both<Causal, KeyPadding>>);
static_assert(std::is_trivially_copyable_v<Both<Window, KeyPadding>>);

KeyRange keys(auto const& mask, int index, int n_queries, int n_keys, int batch = 0) {
  return mask.keys({.batch = batch, .index = index, .n_queries = n_queries, .n_keys = n_keys});
}

void expect_range(KeyRange range, int begin, int end) {
  EXPECT_EQ(range.begin, begin);
  EXPECT_EQ(range.end, end);
}

TEST(Full, ShowsEveryKey) {
  expect_range(keys(Full{}, 2, 5, 7), 0, 7);
  EXPECT_EQ(Full{}.length(0, 7), 7);
}

TEST(Causal, ShowsTheKeysUpToTheQuery) {
  expect_range(keys(Causal{}, 0, 5, 7), 0, 1);
  expect_range(keys(Causal{}, 4, 5, 7), 0, 5);
  expect_range(keys(Causal{}, 9, 10, 7), 0, 7);
}

TEST(Causal, CanAlignTheLastQueryWithTheLastKey) {
  expect_range(keys(Causal{.offset = 7 - 5}, 4, 5, 7), 0, 7);
  expect_range(keys(Causal{.offset = 7 - 5}, 0, 5, 7), 0, 3);
  expect_range(keys(Causal{.offset = 3 - 5}, 1, 5, 3), 0, 0);  // more queries than keys: the first see none
  expect_range(keys(Causal{.offset = 3 - 5}, 2, 5, 3), 0, 1);
}

TEST(Causal, KeepsTheNumberOfKeysThatActivationsKnow) { EXPECT_EQ(Causal{}.length(0, 7), 7); }

TEST(Window, ShowsTheNeighboursOfTheQuery) {
  Window const mask{.before = 2, .after = 1};
  expect_range(keys(mask, 0, 5, 7), 0, 2);
  expect_range(keys(mask, 3, 5, 7), 1, 5);
  expect_range(keys(mask, 6, 7, 7), 4, 7);
}

TEST(Masks, TakeTheLargestNumberForNoBound) {
  constexpr int most = std::numeric_limits<int>::max(), least = std::numeric_limits<int>::min();
  expect_range(keys(Causal{most}, 1, 5, 7), 0, 7);
  expect_range(keys(Causal{least}, 4, 5, 7), 0, 0);
  expect_range(keys(Window{4, most}, 5, 6, 7), 1, 7);
  expect_range(keys(Window{most, 0}, 5, 6, 7), 0, 6);
  expect_range(keys(Window{most, most, most}, 5, 6, 7), 5, 7);
  expect_range(keys(Window{most, most, least}, 5, 6, 7), 0, 5);
  expect_range(keys(Window{0, most, -3}, 5, 6, 7), 2, 7);
  expect_range(keys(Window{most, 0, most}, 0, 6, 7), 0, 7);
}

TEST(Window, BehindTheLastKeyIsEmpty) {
  KeyRange const range = keys(Window{.before = 2, .after = 1}, 12, 20, 7);
  EXPECT_GE(range.begin, range.end);
}

TEST(KeyPadding, ShowsTheKeysOfItsSequence) {
  int const lengths[] = {4, 0, 9};
  KeyPadding const mask{lengths};
  expect_range(keys(mask, 3, 5, 7, 0), 0, 4);
  expect_range(keys(mask, 3, 5, 7, 1), 0, 0);
  expect_range(keys(mask, 3, 5, 7, 2), 0, 7);  // no more than there are
  EXPECT_EQ(mask.length(0, 7), 4);
  EXPECT_EQ(mask.length(2, 7), 7);
}

TEST(Both, ShowsWhatBothShow) {
  int const lengths[] = {4};
  Both<Window, KeyPadding> const mask{{.before = 1, .after = 5}, {lengths}};
  expect_range(keys(mask, 2, 5, 7), 1, 4);
  EXPECT_EQ(mask.length(0, 7), 4);
}

/// Kernels skip whole tiles because of it.
template <class M>
void expect_monotone(M const& mask) {
  for (int n : {1, 2, 13}) {
    for (int m : {0, 1, 2, 7, 13, 40}) {
      for (int i = 1; i < n; ++i) {
        KeyRange const before = keys(mask, i - 1, n, m), after = keys(mask, i, n, m);
        EXPECT_LE(before.begin, after.begin);
        EXPECT_LE(before.end, after.end);
        EXPECT_GE(after.begin, 0);
        EXPECT_LE(after.end, m);
      }
    }
  }
}

TEST(Masks, NeverMoveBack) {
  int const lengths[] = {4};
  expect_monotone(Full{});
  expect_monotone(Causal{});
  expect_monotone(Causal{.offset = 5});
  expect_monotone(Causal{.offset = -5});
  expect_monotone(Window{.before = 2, .after = 1});
  expect_monotone(Window{.before = 0, .after = 0, .offset = -3});
  expect_monotone(KeyPadding{lengths});
  expect_monotone(Both<Causal, Window>{{.offset = 1}, {.before = 3}});
}

template <class M>
void expect_golden(M const& mask, std::string const& name) {
  using View = Kokkos::View<std::int64_t***, Kokkos::HostSpace>;
  auto const visible = attn::io::read_npy<View>(std::string(ATTN_GOLDEN_DIR) + "/attention/visible_" + name + ".npy");
  int const n = int(visible.extent(1)), m = int(visible.extent(2));
  for (int b = 0; b < int(visible.extent(0)); ++b) {
    for (int i = 0; i < n; ++i) {
      KeyRange const range = keys(mask, i, n, m, b);
      for (int j = 0; j < m; ++j) {
        EXPECT_EQ(range.begin <= j && j < range.end, visible(b, i, j) == 1)
            << name << ": " << b << ", " << i << ", " << j;
      }
    }
  }
}

TEST(Masks, ShowWhatTheGoldenDataShow) {
  int const lengths[] = {4, 0};
  expect_golden(Full{}, "full");
  expect_golden(Causal{}, "causal");
  expect_golden(Causal{.offset = 7 - 5}, "causal_end");
  expect_golden(Window{.before = 2, .after = 1}, "window");
  expect_golden(KeyPadding{lengths}, "lengths");
}

}  // namespace
