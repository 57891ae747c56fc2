/// Which activations train_vision offers by name.
#pragma once

#include "attn/attention/activation_registry.hpp"

namespace vision {

/// For float networks that see all keys, and their norms.
using Activation = attn::AnyActivation;

/// Filled on first use, before what registered itself.
attn::ActivationRegistry<Activation> const& activations();

}  // namespace vision
