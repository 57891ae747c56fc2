#include "attn/core/host_copy.hpp"
#include "attn/core/matrix_functors.hpp"

#include "support.hpp"

namespace {

using attn::Index;
using attn_test::Array;
using attn_test::Exec;
using attn_test::Memory;

std::vector<double> counting(Index n) {
  std::vector<double> x;
  for (Index i = 0; i < n; ++i) x.push_back(double(i % 97));
  return x;
}

TEST(MatrixFunctors, AddAndCopyMatricesRowsAndParts) {
  for (Index const columns : {1, 7, 67}) {
    Index const rows = 3, n = rows * columns;
    Array<float, 2> const a({rows, columns}, counting(n)), y({rows, columns}, counting(n)), copy({rows, columns}),
        parts({rows, columns}, counting(n));
    Array<float, 1> const sum({columns}, counting(columns));
    attn::elementwise<float>(
        Exec(), "add", rows, columns,
        attn::AddMatrices<float>{a.tensor().data(), y.tensor().data(), y.tensor().data(), columns});
    attn::elementwise<float>(Exec(), "add", rows, columns,
                             attn::AddToRows<float>{y.tensor().data(), a.tensor().data(), columns});
    attn::elementwise<float>(Exec(), "copy", rows, columns,
                             attn::CopyMatrix<float, float>{y.tensor().data(), copy.tensor().data(), columns, columns});
    attn::elementwise<float>(Exec(), "sum", 1, columns,
                             attn::AddParts<float>{parts.tensor().data(), sum.tensor().data(), rows, columns});
    auto const x = counting(n), got = copy.numbers(), total = sum.numbers();
    for (Index i = 0; i < n; ++i) {
      EXPECT_EQ(got[std::size_t(i)], 2 * x[std::size_t(i)] + x[std::size_t(i % columns)]);
    }
    for (Index j = 0; j < columns; ++j) {
      double want = x[std::size_t(j)];
      for (Index row = 0; row < rows; ++row) want += x[std::size_t(row * columns + j)];
      EXPECT_EQ(total[std::size_t(j)], want);
    }
  }
}

TEST(HostCopy, BringsBackWhatWasSent) {
  Array<double, 1> const there({5});
  std::vector<double> const here = {1, 2, 3, 4, 5};
  attn::copy_from_host(here, there.tensor());
  EXPECT_EQ(attn::host_copy(there.tensor()), here);
  EXPECT_TRUE(attn::host_copy(attn::Tensor<double const, 1, Memory>()).empty());
}

}  // namespace
