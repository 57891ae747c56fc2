// The one file in which kernels of attention are compiled for train_lra.
#include "lra/activations.hpp"

#include "own_activations.hpp"

attn::ActivationRegistry<lra::Activation> const& lra::activations() {
  auto& registry = attn::activations<Activation>();
  static bool const filled = [&] {
    attn::add_common_activations(registry);
    add_own_activations(registry);
    return true;
  }();
  (void)filled;
  return registry;
}
