#include "attn/core/elementwise.hpp"
#include "attn/core/narrow.hpp"

#include "support.hpp"

namespace {

using attn::Index;
using attn_test::Exec;
using attn_test::Memory;

template <class T>
struct Mark {
  T* to;
  Index stride;
  template <class Lanes>
  ATTN_FUNCTION void operator()(Lanes lanes, Index row, Index column) const {
    T* const at = to + row * stride + column;
    lanes.store(at, lanes.load(at) + lanes.generate([&](int lane) { return T(1000 * row + column + lane); }));
  }
};

template <class T>
struct Exponential {
  T const* x;
  T* y;
  template <class Lanes>
  ATTN_FUNCTION void operator()(Lanes lanes, Index, Index i) const {
    lanes.store(y + i, attn::exp(lanes.load(x + i)));
  }
};

struct Count {
  int* counts;
  KOKKOS_FUNCTION void operator()(int i) const { ++counts[i]; }
};

TEST(Launch, CallsOnceForEachItem_AlsoWhereThereIsNone) {
  attn_test::Array<int, 1> const counts({3});
  for (int const n : {0, 1, 3}) {
    attn::launch("count", Kokkos::RangePolicy<Exec>(Exec(), 0, n), Count{counts.tensor().data()});
  }
  EXPECT_EQ(counts.numbers(), (std::vector<double>{2, 1, 1}));
}

TEST(Launch, HandsDevicesTheFunctorByValue) {
  using namespace Kokkos::Experimental;
  auto const policy = attn::detail::by_value<Count>(Kokkos::TeamPolicy<Exec>(Exec(), 1, 1));
  constexpr auto light = WorkItemProperty::HintLightWeight;
  constexpr typename std::remove_const_t<decltype(policy)>::work_item_property property;
  EXPECT_TRUE((property & light) == light);  // as Kokkos asks
  constexpr typename Kokkos::TeamPolicy<Exec>::work_item_property without;
  EXPECT_FALSE((without & light) == light);
}

template <class T>
class Elementwise : public ::testing::Test {};
using Reals = ::testing::Types<float, double>;
TYPED_TEST_SUITE(Elementwise, Reals);

TYPED_TEST(Elementwise, TouchesEachElementOnceAndNoOther) {
  using T = TypeParam;
  for (Index const rows : {0, 1, 2, 7, 300}) {
    for (Index const columns : {0, 1, 7, 16, 17, 97, 20000}) {
      Index const stride = columns + 3;
      attn_test::Array<T, 2> const x({rows, stride}, std::vector<double>(std::size_t(rows * stride), 0.5));
      attn::elementwise<T>(Exec(), "mark", rows, columns, Mark<T>{x.tensor().data(), stride});
      auto const numbers = x.numbers();
      for (Index i = 0; i < rows; ++i) {
        for (Index j = 0; j < stride; ++j) {
          ASSERT_EQ(numbers[std::size_t(i * stride + j)], j < columns ? double(T(1000 * i + j)) + 0.5 : 0.5)
              << rows << " x " << columns << " at " << i << ", " << j;
        }
      }
    }
  }
}

TYPED_TEST(Elementwise, GivesAnElementTheSameBitsWhereverItLies) {
  using T = TypeParam;
  auto const x = attn_test::random_array<T, 1>({1000}, 1);
  attn_test::Array<T, 1> const whole({1000}), shifted({1000});
  attn::elementwise<T>(Exec(), "exp", 1, 1000, Exponential<T>{x.tensor().data(), whole.tensor().data()});
  for (Index begin = 0; begin < 1000; begin += 13) {
    Index const n = std::min(Index(13), 1000 - begin);
    attn::elementwise<T>(Exec(), "exp", 1, n,
                         Exponential<T>{x.tensor().data() + begin, shifted.tensor().data() + begin});
  }
  EXPECT_SOUND(attn::testing::same_bits(shifted.tensor(), whole.tensor()));
}

template <class T>
struct Twice {
  T* x;
  Index stride;
  template <class Lanes>
  ATTN_FUNCTION void operator()(Lanes lanes, Index row, Index column) const {
    T* const at = x + row * stride + column;
    lanes.store(at, lanes.load(at) + lanes.load(at));
  }
};

/// Doubles numbers that are kept as `Stored` in lanes for `T`.
template <class T, class Stored>
void expect_doubled() {
  for (Index const columns : {1, 7, 16, 37}) {
    Index const stride = columns + 3;
    std::vector<double> values;
    for (Index i = 0; i < 3 * stride; ++i) values.push_back(double(i % 100) / 8);
    attn_test::Array<Stored, 2> const x({3, stride}, values);
    attn::elementwise<T>(Exec(), "twice", 3, columns, Twice<Stored>{x.tensor().data(), stride});
    for (std::size_t i = 0; i < values.size(); ++i) {
      if (Index(i) % stride < columns) values[i] *= 2;
    }
    EXPECT_EQ(x.numbers(), values);
  }
}
TEST(Elementwise, ComputesWithNarrowNumbersInFloat) { expect_doubled<attn::BFloat16, attn::BFloat16>(); }
TEST(Elementwise, ComputesWithFloatsInDouble) { expect_doubled<double, float>(); }

/// What a device runs, on the host: the same bits as one number at a time, for rows of any length and beginning.
template <class T>
void expect_neighbours_as_alone() {
  for (Index const columns : {1, 3, 7, 8, 16, 37}) {
    for (Index const shift : {0, 1, 4}) {
      Index const rows = 5, stride = columns + 3;
      auto const x = attn_test::random_array<T, 1>({rows * stride + shift}, 7);
      Twice<T> const one{x.tensor().data() + shift, stride};
      auto const before = x.numbers();
      for (Index row = 0; row < rows; ++row) {
        for (Index c = 0; c < columns; ++c) one(attn::OneLane<attn::AccumulatorOf<T>>{}, row, c);
      }
      auto const want = x.numbers();
      attn_test::Array<T, 1> const again({rows * stride + shift}, before);
      Twice<T> const many{again.tensor().data() + shift, stride};
      attn::detail::NeighboursInRow<T, Twice<T>> const kernel(many, columns);
      for (Index i = 0; i < kernel.threads(rows); ++i) kernel(i);
      EXPECT_EQ(again.numbers(), want) << columns << " columns, " << shift << " behind a multiple of 16 bytes";
    }
  }
}

TEST(Elementwise, OnDevices_GivesNeighboursTheBitsThatEachHasAlone) {
  expect_neighbours_as_alone<double>();
  expect_neighbours_as_alone<float>();
  expect_neighbours_as_alone<attn::BFloat16>();
  EXPECT_EQ(attn::device_width<float>, 4);
  EXPECT_EQ(attn::device_width<attn::BFloat16>, 8);
}

struct Unit {
  float* to;
  Index n;
  template <class Lanes>
  ATTN_FUNCTION void operator()(Lanes lanes, Index row, Index column) const {
    lanes.store(to + row * n + column, attn::one_hot(lanes, column, row, 2, -1));
  }
};

TEST(OneHot, IsOnInOneColumnAlone) {
  Index const n = 37;
  attn_test::Array<float, 2> const x({n, n});
  attn::elementwise<float>(Exec(), "unit", n, n, Unit{x.tensor().data(), n});
  auto const numbers = x.numbers();
  for (Index i = 0; i < n * n; ++i) EXPECT_EQ(numbers[std::size_t(i)], i / n == i % n ? 2 : -1);
}

TEST(Lanes, SelectReplacesIdleLanesAlone) {
  if constexpr (attn::has_packs) {
    using P = attn::Pack<float>;
    for (int n = 0; n < P::width; ++n) {
      P const r = attn::FirstLanes<float>{n}.select(P(1.0f), P(2.0f));
      for (int l = 0; l < P::width; ++l) EXPECT_EQ(r[l], l < n ? 1.0f : 2.0f);
    }
    EXPECT_EQ(attn::AllLanes<float>::select(P(1.0f), P(2.0f))[P::width - 1], 1.0f);
  }
  EXPECT_EQ(attn::OneLane<float>::select(1.0f, 2.0f), 1.0f);
}

TEST(Lanes, OfAThreadOfADevice_AreThoseOf16Bytes_OrWhatIsLeft) {
  alignas(16) float const x[] = {1, 2, 3, 4, 5};
  for (Index const left : {1, 3, 4, 5}) {
    alignas(16) float y[5] = {};
    auto const lanes = attn::device_lanes<float>(left);
    lanes.store(y, lanes.load(x));
    for (Index i = 0; i < 5; ++i) EXPECT_EQ(y[i], i < std::min(left, Index(4)) ? x[i] : 0) << left;
  }
}

TEST(ForBlocks, RunsEachBlockOnce) {
  Kokkos::DefaultHostExecutionSpace const exec;
  for (Index const n : {0, 1, 2, 101}) {
    std::vector<int> count(std::size_t(n) + 1);
    attn::for_blocks(exec, "count", n, [&](Index i) { ++count[std::size_t(i)]; });
    exec.fence();
    for (Index i = 0; i < n; ++i) EXPECT_EQ(count[std::size_t(i)], 1);
    EXPECT_EQ(count[std::size_t(n)], 0);
  }
}

}  // namespace
