#include "attn/linalg/gemm.hpp"

#include <limits>

#include "support.hpp"

namespace {

using attn::Extents;
using attn::Index;
using attn::Tensor;
using attn::testing::allclose;
using attn_test::Exec;
using attn_test::Memory;

/// A matrix inside a larger array whose other elements must stay as they are.
template <class T>
struct Framed {
  static constexpr Index frame = 3;
  Index rows, columns;
  bool transposed;
  attn_test::Array<T, 2> memory;

  Framed(Index rows, Index columns, bool transposed, std::uint64_t stream)
      : rows(rows),
        columns(columns),
        transposed(transposed),
        memory(attn_test::random_array<T, 2>(
            transposed ? Extents<2>{columns, rows + frame} : Extents<2>{rows, columns + frame}, stream)) {}

  Tensor<T, 2, Memory> matrix() const {
    return transposed ? memory.tensor().slice(1, 0, rows).transpose(0, 1) : memory.tensor().slice(1, 0, columns);
  }
  std::vector<double> numbers() const { return attn::testing::detail::host_numbers(matrix()); }
  std::vector<double> outside() const {
    auto const t = memory.tensor();
    return attn::testing::detail::host_numbers(t.slice(1, t.extent(1) - frame, t.extent(1)));
  }
};

std::vector<double> product(double alpha, std::vector<double> const& a, std::vector<double> const& b, double beta,
                            std::vector<double> const& c, Index m, Index n, Index k) {
  std::vector<double> result;
  for (Index i = 0; i < m; ++i) {
    for (Index j = 0; j < n; ++j) {
      double sum = 0;
      for (Index p = 0; p < k; ++p) sum += a[std::size_t(i * k + p)] * b[std::size_t(p * n + j)];
      result.push_back(alpha * sum + (beta == 0 ? 0 : beta * c[std::size_t(i * n + j)]));
    }
  }
  return result;
}

template <class T>
class Gemm : public ::testing::Test {};
using Reals = ::testing::Types<float, double>;
TYPED_TEST_SUITE(Gemm, Reals);

TYPED_TEST(Gemm, IsTheProductForAllShapesAndStridesAndTouchesNothingElse) {
  using T = TypeParam;
  for (Index const m : {0, 1, 2, 7, 97}) {
    for (Index const n : {0, 1, 3, 49, 200}) {
      for (Index const k : {0, 1, 5, 33, 300}) {
        for (int const which : {0, 1, 2, 3}) {
          Framed<T> const a(m, k, which & 1, 1), b(k, n, which & 2, 2), c(m, n, false, 3);
          auto const outside = c.outside();
          auto const want = product(1.5, a.numbers(), b.numbers(), which * 0.5, c.numbers(), m, n, k);
          attn::linalg::gemm(Exec(), T(1.5), a.matrix(), b.matrix(), T(which * 0.5), c.matrix());
          ASSERT_TRUE(allclose(c.matrix(), want, attn::testing::tolerance<T>(double(k))))
              << m << " x " << n << " x " << k << ", transposed: " << which;
          ASSERT_EQ(c.outside(), outside);
        }
      }
    }
  }
}

TYPED_TEST(Gemm, OfManyTilesAndPartsIsTheSameProduct) {
  using T = TypeParam;
  struct Sizes {
    Index m, n, k;
  };
  // many tiles down; many across; few, with a long sum that is cut into parts
  for (auto const [m, n, k] : {Sizes{2003, 70, 66}, Sizes{70, 2003, 66}, Sizes{65, 70, 5003}}) {
    for (int const which : {0, 3}) {
      Framed<T> const a(m, k, which & 1, 1), b(k, n, which & 2, 2), c(m, n, false, 3);
      auto const outside = c.outside();
      auto const want = product(1, a.numbers(), b.numbers(), 1, c.numbers(), m, n, k);
      attn::linalg::gemm(Exec(), T(1), a.matrix(), b.matrix(), T(1), c.matrix());
      EXPECT_SOUND(allclose(c.matrix(), want, attn::testing::tolerance<T>(double(k))));
      EXPECT_EQ(c.outside(), outside);
    }
  }
}

template <class S>
class NarrowGemm : public ::testing::Test {};
using NarrowTypes = ::testing::Types<attn::BFloat16, attn::Float16>;
TYPED_TEST_SUITE(NarrowGemm, NarrowTypes);

TYPED_TEST(NarrowGemm, SumsInFp32AndRoundsItsResultAlone) {
  using S = TypeParam;
  for (auto const [m, n, k] : {std::array<Index, 3>{0, 3, 5}, {1, 1, 1}, {7, 49, 0}, {97, 200, 33}, {65, 70, 2003}}) {
    for (int const which : {0, 1, 2, 3}) {
      Framed<S> const a(m, k, which & 1, 1), b(k, n, which & 2, 2), narrow(m, n, false, 3);
      Framed<float> const wide(m, n, false, 3);
      auto const outside = narrow.outside();
      auto const want_wide = product(1.5, a.numbers(), b.numbers(), which * 0.5, wide.numbers(), m, n, k);
      auto const want_narrow = product(1.5, a.numbers(), b.numbers(), which * 0.5, narrow.numbers(), m, n, k);
      attn::linalg::gemm(Exec(), 1.5f, a.matrix(), b.matrix(), float(which) * 0.5f, wide.matrix());
      attn::linalg::gemm(Exec(), 1.5f, a.matrix(), b.matrix(), float(which) * 0.5f, narrow.matrix());
      ASSERT_TRUE(allclose(wide.matrix(), want_wide, attn::testing::tolerance<float>(double(k))));
      auto const got = narrow.numbers();
      double const unit = std::same_as<S, attn::BFloat16> ? 0x1p-8 : 0x1p-11;
      for (std::size_t i = 0; i < got.size(); ++i) {
        ASSERT_NEAR(got[i], want_narrow[i], 1.1 * unit * std::abs(want_narrow[i]) + 1e-4)
            << m << " x " << n << " x " << k;
      }
      ASSERT_EQ(narrow.outside(), outside);
    }
  }
}

template <class T>
struct AddOne {
  T* c;
  Index stride;
  template <class Lanes>
  ATTN_FUNCTION void operator()(Lanes lanes, Index row, Index column) const {
    T* const at = c + row * stride + column;
    lanes.store(at, lanes.load(at) + typename Lanes::Value(1));
  }
};

TYPED_TEST(Gemm, RunsTheEpilogueOnceForEachElementOfTheResult) {
  using T = TypeParam;
  for (auto const [m, n, k] : {std::array<Index, 3>{97, 49, 5}, {2003, 70, 66}, {65, 70, 5003}, {3, 5, 0}}) {
    Framed<T> const a(m, k, false, 1), b(k, n, false, 2), c(m, n, false, 3);
    auto const outside = c.outside();
    auto want = product(1, a.numbers(), b.numbers(), 0, c.numbers(), m, n, k);
    for (double& x : want) x += 1;
    auto const matrix = c.matrix();
    attn::linalg::gemm(Exec(), T(1), a.matrix(), b.matrix(), T(0), matrix, AddOne<T>{matrix.data(), matrix.stride(0)});
    EXPECT_SOUND(allclose(matrix, want, attn::testing::tolerance<T>(double(k))));
    EXPECT_EQ(c.outside(), outside);
  }
}

TYPED_TEST(NarrowGemm, RunsTheEpilogueInFp32) {
  using S = TypeParam;
  attn_test::Array<S, 2> const a({2, 1}, {1, 2}), b({1, 2}, {3, 4}), c({2, 2});
  attn::linalg::gemm(Exec(), 1, a.tensor(), b.tensor(), 0, c.tensor(), AddOne<S>{c.tensor().data(), 2});
  EXPECT_EQ(c.numbers(), (std::vector<double>{4, 5, 7, 9}));
}

TYPED_TEST(Gemm, DoesNotReadCWhenBetaIsZero) {
  using T = TypeParam;
  for (auto const [m, n, k] : {std::array<Index, 3>{7, 5, 3}, {65, 70, 5003}, {4, 4, 0}}) {
    Framed<T> const a(m, k, false, 1), b(k, n, false, 2);
    attn_test::Array<T, 2> const c({m, n}, std::vector<double>(std::size_t(m * n), std::nan("")));
    attn::linalg::gemm(Exec(), T(1), a.matrix(), b.matrix(), T(0), c.tensor());
    EXPECT_SOUND(allclose(c.tensor(), product(1, a.numbers(), b.numbers(), 0, {}, m, n, k),
                          attn::testing::tolerance<T>(double(k))));
  }
}

TYPED_TEST(Gemm, LetsANaNThrough) {
  using T = TypeParam;
  attn_test::Array<T, 2> const a({2, 2}, {1, std::nan(""), 1, 1}), b({2, 2}, {0, 0, 0, 0}), c({2, 2});
  attn::linalg::gemm(Exec(), T(1), a.tensor(), b.tensor(), T(0), c.tensor());
  auto const numbers = c.numbers();
  EXPECT_TRUE(std::isnan(numbers[0]) && std::isnan(numbers[1]));
  EXPECT_EQ(numbers[2], 0);
}

TYPED_TEST(Gemm, GivesTheSameBitsForOneThreadAndForAll) {
  using T = TypeParam;
  for (auto const [m, n, k] : {std::array<Index, 3>{6400, 64, 64}, {64, 192, 6400}, {50, 1000, 300}, {777, 333, 111}}) {
    Framed<T> const a(m, k, k > m, 1), b(k, n, true, 2);
    attn_test::Array<T, 2> const all({m, n}), one({m, n});
    attn::linalg::gemm(Exec(), T(1), a.matrix(), b.matrix(), T(0), all.tensor());
    attn::linalg::gemm(attn_test::one_thread(), T(1), a.matrix(), b.matrix(), T(0), one.tensor());
    EXPECT_SOUND(attn::testing::same_bits(one.tensor(), all.tensor()));
  }
}

TYPED_TEST(Gemm, SaysWhichShapesAndStridesItWants) {
  using T = TypeParam;
  attn_test::Array<T, 2> const a({3, 4}), b({5, 6}), c({3, 6});
  auto const run = [](Tensor<T, 2, Memory> x, Tensor<T, 2, Memory> y, Tensor<T, 2, Memory> z) {
    return attn_test::error_of([&] { attn::linalg::gemm(Exec(), T(1), x, y, T(0), z); });
  };
  EXPECT_EQ(run(a, b, c), "gemm: give a (m, k), b (k, n) and c (m, n), got (3, 4), (5, 6) and (3, 6)");
  Tensor<T, 2, Memory> const strided(a.tensor().data(), {2, 2}, {4, 2}), square(b.tensor().data(), {2, 2});
  EXPECT_NE(run(strided, square, square), "");
  EXPECT_NE(run(square, square, c.tensor().slice(0, 0, 2).slice(1, 0, 2).transpose(0, 1)), "");
}

TYPED_TEST(Gemm, PortableKernelIsTheSameProduct) {
  using T = TypeParam;
  if constexpr (std::is_same_v<Memory, Kokkos::HostSpace>) {
    for (auto const [m, n, k] :
         {std::array<Index, 3>{1, 1, 1}, {7, 5, 0}, {97, 49, 33}, {100, 1600, 300}, {8, 48, 512}}) {
      for (int const which : {0, 1, 2, 3}) {
        Framed<T> const a(m, k, which & 1, 1), b(k, n, which & 2, 2), c(m, n, false, 3);
        auto const outside = c.outside();
        auto const want = product(-0.5, a.numbers(), b.numbers(), which, c.numbers(), m, n, k);
        attn::linalg::detail::PortableGemm<T>::run(T(-0.5), a.matrix(), b.matrix(), T(which), c.matrix());
        EXPECT_SOUND(allclose(c.matrix(), want, attn::testing::tolerance<T>(double(k))));
        EXPECT_EQ(c.outside(), outside);
      }
    }
  }
}

}  // namespace
