// Convection and reaction: first derivatives.
#include "pde/plane.hpp"

namespace train_pde {

int run_first_order(Settings const& s, attn::train::World& world) {
  if (s.problem == "convection") return run_plane(s, pde::Convection{s.coefficient}, world);
  return run_plane(s, pde::Reaction{s.coefficient}, world);
}

}  // namespace train_pde
