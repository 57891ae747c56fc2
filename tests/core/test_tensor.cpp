#include "attn/core/tensor.hpp"

#include "support.hpp"

namespace {

using attn::Index;
using attn::Tensor;
template <class T, int Rank>
using Host = Tensor<T, Rank, Kokkos::HostSpace>;

TEST(Tensor, IsContiguousWithTheLastExtentFastest) {
  double x[24] = {};
  Host<double, 3> const t(x, {2, 3, 4});
  EXPECT_EQ(t.size(), 24);
  EXPECT_EQ(t.stride(0), 12);
  EXPECT_EQ(t.stride(1), 4);
  EXPECT_EQ(t.stride(2), 1);
  EXPECT_EQ(&t(1, 2, 3), x + 23);
  EXPECT_TRUE(t.is_contiguous());
}

TEST(Tensor, TakesViewsOfAnyLayoutInPlace) {
  Kokkos::View<double**, Kokkos::LayoutLeft, Kokkos::HostSpace> const left("left", 3, 5);
  Kokkos::View<double**, Kokkos::LayoutRight, Kokkos::HostSpace> const right("right", 3, 5);
  left(2, 4) = 7;
  right(2, 4) = 8;
  Host<double, 2> const l = left, r = right;
  EXPECT_EQ(l(2, 4), 7);
  EXPECT_EQ(l.stride(0), 1);
  EXPECT_FALSE(l.is_contiguous());
  EXPECT_EQ(r(2, 4), 8);
  EXPECT_TRUE(r.is_contiguous());
  Host<double const, 2> const c = right;
  EXPECT_EQ(c.data(), right.data());
  Host<double, 2> const slice = Kokkos::subview(right, Kokkos::ALL, std::pair(1, 3));
  EXPECT_EQ(slice.extent(1), 2);
  EXPECT_EQ(slice.stride(0), 5);
}

TEST(Tensor, GoesBackToAView) {
  double x[6] = {0, 1, 2, 3, 4, 5};
  auto const view = Host<double, 2>(x, {2, 3}).transpose(0, 1).view();
  EXPECT_EQ(view.extent(0), 3u);
  EXPECT_EQ(view(2, 1), 5);
  EXPECT_EQ(view.data(), x);
}

TEST(Tensor, SlicesAndTransposesInPlace) {
  double x[24];
  for (int i = 0; i < 24; ++i) x[i] = i;
  Host<double, 3> const t(x, {2, 3, 4});
  EXPECT_EQ(t.transpose(0, 2)(3, 1, 0), t(0, 1, 3));
  auto const part = t.slice(2, 1, 3);
  EXPECT_EQ(part.extent(2), 2);
  EXPECT_EQ(part(1, 2, 0), t(1, 2, 1));
  EXPECT_FALSE(part.is_contiguous());
  EXPECT_TRUE(t.slice(0, 1, 2).is_contiguous());  // an extent of 1 may have any stride
  EXPECT_EQ(t.slice(1, 3, 3).size(), 0);
}

TEST(Tensor, ReshapesWhatIsContiguous) {
  double x[24] = {};
  Host<double, 3> const t(x, {2, 3, 4});
  EXPECT_EQ(t.rows().extent(0), 6);
  EXPECT_EQ(t.rows().extent(1), 4);
  EXPECT_EQ(&t.reshape<1>({24})(23), x + 23);
  EXPECT_EQ(attn_test::error_of([&] {
              t.reshape<2>({5, 5});
            }),
            "Tensor::reshape: give a shape of 24 elements, not of 25");
  EXPECT_EQ(attn_test::error_of([&] { t.transpose(0, 1).rows(); }),
            "Tensor::reshape: copy the tensor into a contiguous one first");
}

TEST(Tensor, MayBeEmpty) {
  Host<float, 3> const none;
  EXPECT_EQ(none.data(), nullptr);
  EXPECT_EQ(none.size(), 0);
  Host<float, 3> const empty(nullptr, {0, 3, 4});
  EXPECT_EQ(empty.rows().extent(0), 0);
}

TEST(Tensor, OfMutableConvertsToConstAndNotBack) {
  static_assert(std::is_convertible_v<Host<float, 2>, Host<float const, 2>>);
  static_assert(!std::is_convertible_v<Host<float const, 2>, Host<float, 2>>);
  static_assert(!std::is_convertible_v<Host<float, 2>, Host<double, 2>>);
  static_assert(std::is_trivially_copyable_v<Host<float, 4>>);
}

}  // namespace
