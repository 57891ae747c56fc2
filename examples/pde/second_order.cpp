// Wave and Burgers: second derivatives.
#include "pde/plane.hpp"

namespace train_pde {

int run_second_order(Settings const& s) {
  if (s.problem == "wave") return run_plane(s, pde::WaveEquation{.speed = s.coefficient});
  return run_plane(s, pde::Burgers{s.coefficient});
}

}  // namespace train_pde
