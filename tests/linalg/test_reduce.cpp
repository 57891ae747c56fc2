#include "attn/core/narrow.hpp"
#include "attn/linalg/reduce.hpp"

#include "support.hpp"

namespace {

using attn::Index;
using attn_test::Exec;

template <class T>
class Reduce : public ::testing::Test {};
using Reals = ::testing::Types<float, double>;
TYPED_TEST_SUITE(Reduce, Reals);

TYPED_TEST(Reduce, ColumnSumsAddEveryRow) {
  using T = TypeParam;
  for (Index const rows : {0, 1, 3, 127, 128, 129, 2053}) {
    for (Index const columns : {0, 1, 17, 64, 300}) {
      auto const x = attn_test::random_array<T, 2>({rows, columns + 3}, 1);
      auto const matrix = x.tensor().slice(1, 0, columns);
      auto const out = attn_test::random_array<T, 1>({columns}, 2);
      auto const in = attn::testing::detail::host_numbers(matrix);
      for (double const beta : {0.0, 1.0}) {
        auto want = out.numbers();
        for (Index j = 0; j < columns; ++j) {
          want[std::size_t(j)] *= beta;
          for (Index i = 0; i < rows; ++i) want[std::size_t(j)] += in[std::size_t(i * columns + j)];
        }
        attn::linalg::column_sums(Exec(), matrix, T(beta), out.tensor());
        EXPECT_SOUND(attn::testing::allclose(out.tensor(), want, attn::testing::tolerance<T>(double(rows))));
      }
    }
  }
}

TEST(Reduce, ColumnSumsOfNarrowNumbersAreFloats) {
  auto const x = attn_test::random_array<attn::BFloat16, 2>({301, 37}, 1);
  attn_test::Array<float, 1> const out({37});
  auto const in = x.numbers();
  std::vector<double> want(37);
  for (std::size_t i = 0; i < in.size(); ++i) want[i % 37] += in[i];
  attn::linalg::column_sums(Exec(), x.tensor(), 0, out.tensor());
  EXPECT_SOUND(attn::testing::allclose(out.tensor(), want, attn::testing::tolerance<float>(301)));
}

/// What devices run, on whatever the tests run on: one team for as many columns as 32 bytes hold.
template <class Stored, class T>
void expect_sums_of_teams() {
  for (Index const rows : {0, 1, 63, 64, 65, 127, 128, 129, 331}) {
    for (Index const columns : {1, 4, 8, 15, 16, 17, 37}) {
      auto const x = attn_test::random_array<Stored, 2>({rows, columns}, 1);
      attn_test::Array<T, 1> const out({columns}, std::vector<double>(std::size_t(columns), 0.5));
      auto want = out.numbers();
      auto const in = x.numbers();
      for (std::size_t i = 0; i < in.size(); ++i) want[i % std::size_t(columns)] += in[i];
      attn::linalg::column_sums_of<T, Stored>(
          Exec(), rows, columns, attn::linalg::detail::Element<Stored, attn_test::Memory>{x.tensor()}, 1, out.tensor());
      EXPECT_SOUND(attn::testing::allclose(out.tensor(), want, attn::testing::tolerance<T>(double(rows + 1))));
    }
  }
}

TEST(Reduce, ColumnSumsByTeams_AddEveryRow) {
  expect_sums_of_teams<double, double>();
  expect_sums_of_teams<float, float>();
  expect_sums_of_teams<attn::BFloat16, float>();
}

TYPED_TEST(Reduce, SumsAddEveryElementInDouble) {
  using T = TypeParam;
  for (Index const n : {0, 1, 4095, 4096, 4097, 100003}) {
    auto const x = attn_test::random_array<T, 1>({n}, 3);
    double sum = 0, squares = 0;
    for (double const v : x.numbers()) {
      sum += v;
      squares += v * v;
    }
    EXPECT_NEAR(attn::linalg::sum(Exec(), x.tensor()), sum, 1e-11 * double(n + 1));
    EXPECT_NEAR(attn::linalg::sum_of_squares(Exec(), x.tensor()), squares, 1e-11 * double(n + 1));
  }
}

TYPED_TEST(Reduce, GivesTheSameBitsForOneThreadAndForAll) {
  using T = TypeParam;
  auto const x = attn_test::random_array<T, 2>({6400, 77}, 4);
  attn_test::Array<T, 1> const all({77}), one({77});
  attn::linalg::column_sums(Exec(), x.tensor(), T(0), all.tensor());
  attn::linalg::column_sums(attn_test::one_thread(), x.tensor(), T(0), one.tensor());
  EXPECT_SOUND(attn::testing::same_bits(one.tensor(), all.tensor()));
  auto const flat = x.tensor().template reshape<1>({6400 * 77});
  EXPECT_EQ(attn::linalg::sum(Exec(), flat), attn::linalg::sum(attn_test::one_thread(), flat));
}

TYPED_TEST(Reduce, SaysWhichShapesItWants) {
  using T = TypeParam;
  attn_test::Array<T, 2> const x({3, 4});
  attn_test::Array<T, 1> const out({3});
  EXPECT_EQ(attn_test::error_of([&] { attn::linalg::column_sums(Exec(), x.tensor(), T(0), out.tensor()); }),
            "column_sums: give a result of 4 elements, got 3");
  EXPECT_EQ(
      attn_test::error_of([&] { attn::linalg::column_sums(Exec(), x.tensor().transpose(0, 1), T(0), out.tensor()); }),
      "column_sums: give a matrix whose second stride is 1, got 4");
}

}  // namespace
