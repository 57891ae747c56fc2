// The one file in which kernels of attention are compiled for train_pde.
#include "pde/activations.hpp"

#include "own_activations.hpp"

attn::ActivationRegistry<train_pde::Activation> const& train_pde::activations() {
  return offered_activations<Activation>([](auto& registry) { attn::add_common_activations(registry); });
}
