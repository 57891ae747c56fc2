/// Which activations train_lra offers by name.
#pragma once

#include "attn/attention/activation_registry.hpp"
#include "attn/nn/packed_sequences.hpp"

namespace lra {

/// For packed sequences of floats, with weights dropped or not.
using Activation =
    attn::BasicAnyActivation<attn::AttentionCall<Kokkos::DefaultExecutionSpace, float, attn::nn::Grouped, attn::NoNorms,
                                                 attn::Fp32Products, attn::NoBias, attn::AttentionDropout>>;

attn::ActivationRegistry<Activation> const& activations();

}  // namespace lra
