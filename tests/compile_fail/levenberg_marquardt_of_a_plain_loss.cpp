// expected error: LevenbergMarquardt: give a loss that is a sum of squares
#include "attn/optim/levenberg_marquardt.hpp"

#include "plain_loss.hpp"

auto step(Ctx& ctx, attn::optim::LevenbergMarquardt<double, Kokkos::HostSpace>& method, Closure& loss) {
  return method.step(ctx, loss);
}
