// Your own activations, for all trainers and for `theory`: a line each makes `--activation NAME` of it.
#pragma once

#include "attn/attention/activation_registry.hpp"

/// For instance: registry.add("mine", Mine{});
template <class Any>
void add_own_activations(attn::ActivationRegistry<Any>& /*registry*/) {}

/// The registry of a program, filled on first use and before what registered itself: by `fill`, and by what is above.
template <class Any, class Fill>
attn::ActivationRegistry<Any> const& offered_activations(Fill const& fill) {
  auto& registry = attn::activations<Any>();
  static bool const filled = (fill(registry), add_own_activations(registry), true);
  (void)filled;
  return registry;
}
