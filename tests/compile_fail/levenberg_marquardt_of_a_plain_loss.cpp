// expected error: LevenbergMarquardt: give a loss that is a sum of squares
#include "attn/nn/context.hpp"
#include "attn/optim/levenberg_marquardt.hpp"

#include <vector>

using Ctx = attn::nn::Context<Kokkos::DefaultHostExecutionSpace, double>;

/// A loss of which nothing is known but its value and its gradient.
struct Closure {
  double operator()();
#if defined(ATTN_EXPECT_SUCCESS)
  std::size_t size();
  void residuals(std::vector<double>& r);
  void pull_back(std::vector<double> const& w);
#endif
};

auto step(Ctx& ctx, attn::optim::LevenbergMarquardt<double, Kokkos::HostSpace>& method, Closure& loss) {
  return method.step(ctx, loss);
}
