#include "attn/core/rows.hpp"

#include "support.hpp"

namespace {

using attn::Index;
using attn_test::Exec;

/// to (rows, 5): sum, largest, smallest, number of times that `once` ran, sum of squares around the mean.
template <class T>
struct Statistics {
  T const* x;
  T* to;
  Index columns;
  template <class Row>
  ATTN_FUNCTION void operator()(Row const& row, Index i) const {
    using Value = typename Row::Value;
    T const sum = row.sums(columns, [&](auto lanes, Index j) { return lanes.load(x + i * columns + j); });
    Value const centre = row.value(sum / T(columns)), shift = row.value(T(2));
    auto const [largest, minus_smallest] = row.maxima(columns, [&](auto lanes, Index j) {
      Value const v = lanes.load(x + i * columns + j) - shift;
      return Kokkos::Array<Value, 2>{v, -v};
    });
    auto const [deviations, squares, ones] = row.sums(columns, [&](auto lanes, Index j) {
      Value const d = lanes.load(x + i * columns + j) - centre;
      return Kokkos::Array<Value, 3>{d, d * d, row.value(T(1))};
    });
    T const variance = squares - deviations * deviations / ones, top = largest + T(2), bottom = T(2) - minus_smallest;
    row.once([&] {
      to[5 * i] = sum;
      to[5 * i + 1] = top;
      to[5 * i + 2] = bottom;
      to[5 * i + 3] += T(1);
      to[5 * i + 4] = variance;
    });
  }
};

/// What devices run, on teams of whatever the tests run on.
template <class T, class Kernel>
void for_rows_by_teams(Index rows, Kernel const& kernel) {
  attn::launch("rows", Kokkos::TeamPolicy<Exec>(Exec(), int(rows), Kokkos::AUTO),
               attn::detail::TeamOfRow<T, Exec, Kernel>{kernel});
}

template <class T>
class Rows : public ::testing::Test {};
using Reals = ::testing::Types<float, double>;
TYPED_TEST_SUITE(Rows, Reals);

TYPED_TEST(Rows, SumAndMaximumCoverTheWholeRow) {
  using T = TypeParam;
  for (Index const rows : {0, 1, 3, 401}) {
    for (Index const columns : {1, 2, 15, 16, 17, 97, 1000}) {
      auto const x = attn_test::random_array<T, 2>({rows, columns}, 2);
      attn_test::Array<T, 2> const to({rows, 5});
      attn::for_rows<T>(Exec(), "statistics", rows, columns,
                        Statistics<T>{x.tensor().data(), to.tensor().data(), columns});
      auto const in = x.numbers();
      std::vector<double> want;
      for (Index i = 0; i < rows; ++i) {
        double sum = 0, largest = -1e30, smallest = 1e30, squares = 0;
        for (Index j = 0; j < columns; ++j) {
          sum += in[std::size_t(i * columns + j)];
          largest = std::max(largest, in[std::size_t(i * columns + j)]);
          smallest = std::min(smallest, in[std::size_t(i * columns + j)]);
        }
        for (Index j = 0; j < columns; ++j) squares += std::pow(in[std::size_t(i * columns + j)] - sum / columns, 2);
        want.insert(want.end(), {sum, largest, smallest, 1, squares});
      }
      auto const about = std::to_string(rows) + " x " + std::to_string(columns);
      auto const tolerance = attn::testing::tolerance<T>(double(columns));
      EXPECT_SOUND(attn::testing::allclose(to.tensor(), want, tolerance).about(about));
      attn_test::Array<T, 2> const by_teams({rows, 5});
      if (rows > 0) {
        for_rows_by_teams<T>(rows, Statistics<T>{x.tensor().data(), by_teams.tensor().data(), columns});
      }
      EXPECT_SOUND(attn::testing::allclose(by_teams.tensor(), want, tolerance).about(about + " by teams"));
    }
  }
}

}  // namespace
