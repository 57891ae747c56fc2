#include "attn/core/rows.hpp"

#include "support.hpp"

namespace {

using attn::Index;
using attn_test::Exec;

/// to (rows, 4): sum, largest, number of times that `once` ran, sum of idle-safe squares around the mean.
template <class T>
struct Statistics {
  T const* x;
  T* to;
  Index columns;
  template <class Row>
  ATTN_FUNCTION void operator()(Row const& row, Index i) const {
    using Value = typename Row::Value;
    Value total = row.value(T(0)), top = row.value(attn::lowest<T>);
    row.for_columns(columns, [&](auto lanes, Index j) {
      Value const v = lanes.load(x + i * columns + j);
      total += v;
      top = attn::max(top, lanes.select(v, top));
    });
    T const sum = row.sum(total), largest = row.max(top), mean = sum / T(columns);
    Value squares = row.value(T(0)), centre = row.value(mean);
    row.for_columns(columns, [&](auto lanes, Index j) {
      Value const d = lanes.select(lanes.load(x + i * columns + j), centre) - centre;
      squares += d * d;
    });
    T const variance = row.sum(squares);
    row.once([&] {
      to[4 * i] = sum;
      to[4 * i + 1] = largest;
      to[4 * i + 2] += T(1);
      to[4 * i + 3] = variance;
    });
  }
};

template <class T>
class Rows : public ::testing::Test {};
using Reals = ::testing::Types<float, double>;
TYPED_TEST_SUITE(Rows, Reals);

TYPED_TEST(Rows, SumAndMaximumCoverTheWholeRow) {
  using T = TypeParam;
  for (Index const rows : {0, 1, 3, 401}) {
    for (Index const columns : {1, 2, 15, 16, 17, 97, 1000}) {
      auto const x = attn_test::random_array<T, 2>({rows, columns}, 2);
      attn_test::Array<T, 2> const to({rows, 4});
      attn::for_rows<T>(Exec(), "statistics", rows, columns,
                        Statistics<T>{x.tensor().data(), to.tensor().data(), columns});
      auto const in = x.numbers();
      std::vector<double> want;
      for (Index i = 0; i < rows; ++i) {
        double sum = 0, largest = -1e30, squares = 0;
        for (Index j = 0; j < columns; ++j) {
          sum += in[std::size_t(i * columns + j)];
          largest = std::max(largest, in[std::size_t(i * columns + j)]);
        }
        for (Index j = 0; j < columns; ++j) squares += std::pow(in[std::size_t(i * columns + j)] - sum / columns, 2);
        want.insert(want.end(), {sum, largest, 1, squares});
      }
      EXPECT_SOUND(attn::testing::allclose(to.tensor(), want, attn::testing::tolerance<T>(double(columns)))
                       .about(std::to_string(rows) + " x " + std::to_string(columns)));
    }
  }
}

}  // namespace
