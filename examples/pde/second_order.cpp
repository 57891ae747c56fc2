// Wave, Burgers, heat, Allen and Cahn: second derivatives.
#include "attn/pde/allen_cahn.hpp"

#include "pde/plane.hpp"

namespace train_pde {

int run_second_order(Settings const& s, attn::train::World& world) {
  if (s.problem == "wave") return run_plane(s, pde::WaveEquation{.speed = s.coefficient}, world);
  if (s.problem == "heat") return run_plane(s, pde::Heat{s.coefficient}, world);
  if (s.problem == "allen-cahn") return run_plane(s, pde::AllenCahn{s.coefficient}, world);
  return run_plane(s, pde::Burgers{s.coefficient}, world);
}

}  // namespace train_pde
