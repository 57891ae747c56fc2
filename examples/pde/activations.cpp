// The one file in which kernels of attention are compiled for train_pde.
#include "pde/activations.hpp"

#include "own_activations.hpp"

attn::ActivationRegistry<train_pde::Activation> const& train_pde::activations() {
  auto& registry = attn::activations<Activation>();
  static bool const filled = [&] {
    attn::add_common_activations(registry);
    add_own_activations(registry);
    return true;
  }();
  (void)filled;
  return registry;
}
