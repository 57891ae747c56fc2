// The one file in which kernels of attention are compiled for train_vision.
#include "vision/activations.hpp"

#include "own_activations.hpp"

attn::ActivationRegistry<vision::Activation> const& vision::activations() {
  auto& registry = attn::activations<Activation>();
  static bool const filled = [&] {
    attn::add_common_activations<3>(registry);  // the paper's cube has kernels of its own
    add_own_activations(registry);
    return true;
  }();
  (void)filled;
  return registry;
}
