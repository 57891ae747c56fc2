#include "attn/core/overlap.hpp"

#include <gtest/gtest.h>

#include <set>
#include <vector>

namespace {

using attn::Extents;
using attn::Index;
template <int Rank>
using X = attn::Tensor<float, Rank, Kokkos::HostSpace>;

template <int Rank>
std::set<float*> places(X<Rank> const& x, Extents<Rank> at = {}, int r = 0) {
  std::set<float*> all;
  if (r == Rank) {
    float* p = x.data();
    for (int d = 0; d < Rank; ++d) p += at[d] * x.stride(d);
    return {p};
  }
  for (at[r] = 0; at[r] < x.extent(r); ++at[r]) all.merge(places<Rank>(x, at, r + 1));
  return all;
}

TEST(Overlap, IsExactForTensorsOfOneShapeOfStrides) {
  std::vector<float> memory(4096);
  struct Layout {
    Extents<3> extents, others, strides;
  };
  for (Layout const& l : {Layout{{2, 3, 4}, {2, 3, 4}, {60, 20, 1}}, Layout{{2, 3, 4}, {1, 2, 3}, {60, 20, 1}},
                          Layout{{2, 3, 4}, {2, 3, 4}, {4, 24, 1}}, Layout{{3, 3, 2}, {3, 1, 2}, {7, 5, 1}},
                          Layout{{2, 5, 1}, {2, 5, 1}, {30, 3, 9}}, Layout{{2, 2, 3}, {2, 2, 3}, {0, 12, 2}}}) {
    for (Index shift = -90; shift <= 90; ++shift) {
      X<3> const a(memory.data() + 1000, l.extents, l.strides), b(memory.data() + 1000 + shift, l.others, l.strides);
      auto const of_a = places<3>(a), of_b = places<3>(b);
      bool meet = false;
      for (float* const p : of_a) meet = meet || of_b.count(p) > 0;
      EXPECT_EQ(attn::overlap(a, b), meet) << shift;
      EXPECT_EQ(attn::overlap(b, a), meet) << shift;
    }
  }
}

TEST(Overlap, IsExactForContiguousTensorsOfAnyShape) {
  std::vector<float> memory(100);
  X<2> const a(memory.data(), {3, 4});
  EXPECT_TRUE(attn::overlap(a, X<1>(memory.data() + 11, {5})));
  EXPECT_FALSE(attn::overlap(a, X<1>(memory.data() + 12, {5})));
  EXPECT_FALSE(attn::overlap(a, X<1>(memory.data() + 5, {0})));
  EXPECT_FALSE(attn::overlap(X<2>(nullptr, {3, 4}), X<2>(nullptr, {3, 4})));
}

TEST(Overlap, IsKnownOfWhatStartsAtOnePlace) {
  std::vector<float> memory(100);
  X<2> const rows(memory.data(), {3, 4}, {10, 1}), columns(memory.data(), {4, 3}, {1, 10});
  EXPECT_TRUE(attn::overlap(rows, columns));
}

}  // namespace
