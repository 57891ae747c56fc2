// Which activations train_detection offers: those of train_vision, and one that is none.
#include "detection/model.hpp"
#include "vision/activations.hpp"

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
  static auto const all = [] {
    auto registry = vision::activations();
    registry.add("off", Off{});
    return registry;
  }();
  return all;
}

}  // namespace train_detection
