// expected error: GaussNewton: give a loss that is a sum of squares
#include "attn/optim/gauss_newton.hpp"

#include "plain_loss.hpp"

auto step(Ctx& ctx, attn::optim::GaussNewton<double, Kokkos::HostSpace>& newton, Closure& loss) {
  return newton.step(ctx, loss);
}
