// The one file in which kernels of attention are compiled for train_detection.
#include "detection/model.hpp"
#include "own_activations.hpp"

namespace train_detection {
namespace {

/// Weights of zero: what the network can do without attention.
struct Off {
  template <class T>
  ATTN_FUNCTION T operator()(T score, attn::Row) const {
    return score * T(attn::RealOf<T>(0));
  }
};

}  // namespace

attn::ActivationRegistry<attn::AnyActivation> const& activations() {
  return offered_activations<attn::AnyActivation>([](auto& registry) {
    attn::add_common_activations<3>(registry);
    registry.add("off", Off{});
  });
}

}  // namespace train_detection
