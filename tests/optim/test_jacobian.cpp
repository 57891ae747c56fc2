#include "attn/optim/jacobian.hpp"
#include "attn/optim/tangent_kernel.hpp"

#include <gtest/gtest.h>

#include "optim/squares_of_numbers.hpp"

namespace {

using namespace attn_test::squares;
using Jacobian = attn::optim::Jacobian<double, Kokkos::HostSpace>;

/// 260 residuals of 520 parameters, more than are multiplied at once.
void many(Numbers const&, Numbers& r, std::vector<Numbers>& jacobian) {
  static std::vector<Numbers> const rows = [] {
    std::vector<Numbers> all(260, Numbers(520));
    for (std::size_t i = 0; i < 260 * 520; ++i) all[i / 520][i % 520] = std::sin(double(i));
    return all;
  }();
  r.assign(rows.size(), 1);
  jacobian = rows;
}

double product(Numbers const& a, Numbers const& b) { return attn::optim::detail::dot(a, b); }

TEST(Jacobian, IsMultipliedWithItselfInParts) {
  Problem problem(Numbers(520, 0.5), many);
  auto const expected = problem.evaluate().second;
  Jacobian jacobian;
  jacobian.evaluate(problem.ctx, problem);
  ASSERT_EQ(jacobian.rows(), 260);
  auto const gram = jacobian.gram(problem.ctx.exec);
  for (std::size_t i = 0; i < 260; ++i) {
    for (std::size_t j = 0; j < 260; ++j) {
      ASSERT_NEAR(gram[i * 260 + j], product(expected[i], expected[j]), 1e-11) << i << ", " << j;
    }
  }
}

TEST(Jacobian, TransposedTimesAVectorIsWhatIsPulledBack) {
  Problem problem(Numbers(520, 0.5), many);
  Jacobian jacobian;
  jacobian.evaluate(problem.ctx, problem);
  Numbers w(260);
  for (std::size_t i = 0; i < w.size(); ++i) w[i] = std::cos(double(i));
  Kokkos::View<double*, Kokkos::HostSpace> const d("d", std::size_t(problem.ctx.parameters.extent()));
  jacobian.transposed_times(problem.ctx.exec, w, d.data());
  problem.pull_back(w);
  auto const expected = problem.ctx.parameters.gradients();
  for (attn::Index i = 0; i < attn::Index(d.extent(0)); ++i) ASSERT_NEAR(d(i), expected(i), 1e-11);
}

/// Says that there are two sums and gives one row, or three.
struct Miscounted : Problem {
  int rows = 2;
  using Problem::Problem;
  Numbers sums(Numbers const& r) { return {r[0], r[1]}; }
  void for_rows(std::function<void()> const& row) {
    for (int i = 0; i < rows; ++i) row();
  }
};

TEST(Jacobian, RowsAreAsManyAsSums) {
  Miscounted problem({1, 2}, rosenbrock);
  static_assert(attn::optim::SummedLeastSquares<Miscounted> && !attn::optim::SummedLeastSquares<Problem>);
  Jacobian jacobian;
  jacobian.evaluate_sums(problem.ctx, problem, 2);
  for (int const rows : {1, 3}) {
    problem.rows = rows;
    try {
      jacobian.evaluate_sums(problem.ctx, problem, 2);
      FAIL();
    } catch (attn::Error const& e) {
      std::string const times = "called row() " + std::to_string(rows) + " times for 2 sums";
      EXPECT_NE(std::string(e.what()).find(times), std::string::npos) << e.what();
    }
  }
}

/// The same problem, with sums of none of its residuals.
struct WithoutSums : Problem {
  using Problem::Problem;
  Numbers sums(Numbers const&) { return {}; }
  void for_rows(std::function<void()> const&) {}
};

TEST(TangentKernelOfSums, WantsASumAndARowForEach) {
  Miscounted miscounted({1, 2}, rosenbrock);
  EXPECT_EQ(attn::optim::tangent_kernel_of_sums(miscounted.ctx, miscounted).size(), 4u);
  miscounted.rows = 3;
  EXPECT_THROW(attn::optim::tangent_kernel_of_sums(miscounted.ctx, miscounted), attn::Error);
  WithoutSums nothing({1, 2}, rosenbrock);
  EXPECT_THROW(attn::optim::tangent_kernel_of_sums(nothing.ctx, nothing), attn::Error);
}

}  // namespace
