#include "attn/io/array.hpp"

#include <Kokkos_Core.hpp>

#include <gtest/gtest.h>

#include <limits>
#include <numeric>
#include <vector>

#include "io/files.hpp"

namespace {

using namespace attn::testing;
using attn::io::Array;
using attn::io::DType;
using attn::io::Shape;
using attn::io::to_array;
using attn::io::to_view;
using Host = Kokkos::HostSpace;

Array counting(Shape const& shape) {
  std::vector<float> values(*attn::io::element_count(shape));
  std::iota(values.begin(), values.end(), 0.0f);
  return to_array(values, shape);
}

TEST(Array, CountsElementsUnlessThereAreTooMany) {
  EXPECT_EQ(attn::io::element_count(Shape{}), 1u);
  EXPECT_EQ(attn::io::element_count(Shape{3, 0, 5}), 0u);
  EXPECT_EQ(attn::io::element_count(Shape{3, 4, 5}), 60u);
  std::size_t const huge = std::size_t(1) << 32;
  EXPECT_FALSE(attn::io::element_count(Shape{huge, huge}));
  EXPECT_FALSE(attn::io::element_count(Shape{std::numeric_limits<std::size_t>::max()}));
}

TEST(Array, ViewsOfEitherLayoutHoldTheSameElements) {
  Array const array = counting({2, 3, 5});
  auto const right = to_view<Kokkos::View<float***, Kokkos::LayoutRight, Host>>(array);
  auto const left = to_view<Kokkos::View<double***, Kokkos::LayoutLeft, Host>>(array);
  for (int i = 0; i < 2; ++i) {
    for (int j = 0; j < 3; ++j) {
      for (int k = 0; k < 5; ++k) {
        EXPECT_EQ(right(i, j, k), float(15 * i + 5 * j + k));
        EXPECT_EQ(left(i, j, k), 15 * i + 5 * j + k);
      }
    }
  }
  EXPECT_EQ(to_array(right).bytes, array.bytes);
  EXPECT_EQ(to_array(left).as<double>(), array.as<double>());
}

TEST(Array, PartOfAViewIsStoredWithoutItsSurroundings) {
  auto const view = to_view<Kokkos::View<float***, Kokkos::LayoutRight, Host>>(counting({4, 3, 5}));
  auto const part = Kokkos::subview(view, Kokkos::make_pair(1, 3), Kokkos::ALL, 2);  // (2, 3)
  Array const array = to_array(part);
  EXPECT_EQ(array.shape, (Shape{2, 3}));
  EXPECT_EQ(array.as<float>(), (std::vector<float>{17, 22, 27, 32, 37, 42}));
}

TEST(Array, ScalarsAndEmptyArraysRoundTrip) {
  auto const scalar = to_view<Kokkos::View<float, Host>>(to_array(std::vector<float>{7}, {}));
  EXPECT_EQ(scalar(), 7.0f);
  EXPECT_EQ(to_array(scalar).shape, Shape{});
  auto const empty = to_view<Kokkos::View<int**, Host>>(to_array(std::vector<int>{}, {3, 0}));
  EXPECT_EQ(empty.extent(0), 3u);
  EXPECT_EQ(to_array(empty).shape, (Shape{3, 0}));
}

TEST(Array, ViewsOfTheDefaultSpaceRoundTrip) {
  Array const array = counting({7});
  EXPECT_EQ(to_array(to_view<Kokkos::View<float*>>(array)).bytes, array.bytes);
}

TEST(Array, WrongRankExtentOrTypeIsAnError) {
  Array const array = counting({2, 3});
  EXPECT_ERROR((to_view<Kokkos::View<float*, Host>>(array, "q")),
               "ask for a view of rank 2, not 1, for 'q' of shape (2, 3)");
  EXPECT_ERROR((to_view<Kokkos::View<float* [4], Host>>(array, "q")), "shape (2, 4), but 'q' has shape (2, 3)");
  EXPECT_ERROR((to_view<Kokkos::View<int**, Host>>(array, "q")), "to_view: 'q' has type F32");
  EXPECT_ERROR(to_array(std::vector<int>{1, 2}, {3}), "give a shape of 2 elements, not (3)");
}

}  // namespace
