// Which activations train_detection offers: those of train_vision, and one that is none.
#include "vision/activations.hpp"

#include "detection/model.hpp"

namespace train_detection {

attn::ActivationRegistry<attn::AnyActivation> const& activations() {
  static auto const all = [] {
    auto registry = vision::activations();
    // What the network can do without attention: weights so small that no sum notices them, and so large that products
    // with them are no denormal numbers, which take processors a hundred cycles.
    registry.add("off", [](attn::ActivationNumbers const&) {
      return vision::activations().make("poly", {.power = 3, .scale = "fixed", .factor = 1e-12});
    });
    return registry;
  }();
  return all;
}

}  // namespace train_detection
