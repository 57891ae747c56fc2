// The one file in which kernels of attention are compiled for train_lra.
#include "lra/activations.hpp"

#include "own_activations.hpp"

attn::ActivationRegistry<lra::Activation> const& lra::activations() {
  return offered_activations<Activation>([](auto& registry) { attn::add_common_activations(registry); });
}
