// Wave, Burgers, heat, Allen and Cahn: second derivatives.
#include "attn/pde/allen_cahn.hpp"

#include "pde/plane.hpp"

namespace train_pde {

int run_second_order(Settings const& s) {
  if (s.problem == "wave") return run_plane(s, pde::WaveEquation{.speed = s.coefficient});
  if (s.problem == "heat") return run_plane(s, pde::Heat{s.coefficient});
  if (s.problem == "allen-cahn") return run_plane(s, pde::AllenCahn{s.coefficient});
  return run_plane(s, pde::Burgers{s.coefficient});
}

}  // namespace train_pde
