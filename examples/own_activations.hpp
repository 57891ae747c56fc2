// Your own activations, for all trainers and for `theory`: a line each makes `--activation NAME` of it.
#pragma once

#include "attn/attention/activation_registry.hpp"

/// For instance: registry.add("mine", Mine{});
template <class Any>
void add_own_activations(attn::ActivationRegistry<Any>& /*registry*/) {}
