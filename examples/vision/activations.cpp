// The one file in which kernels of attention are compiled for train_vision.
#include "vision/activations.hpp"

#include "own_activations.hpp"

attn::ActivationRegistry<vision::Activation> const& vision::activations() {
  // the paper's cube has kernels of its own
  return offered_activations<Activation>([](auto& registry) { attn::add_common_activations<3>(registry); });
}
