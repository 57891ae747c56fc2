// Convection and reaction: first derivatives.
#include "pde/plane.hpp"

namespace train_pde {

int run_first_order(Settings const& s) {
  if (s.problem == "convection") return run_plane(s, pde::Convection{s.coefficient});
  return run_plane(s, pde::Reaction{s.coefficient});
}

}  // namespace train_pde
