// Which activations train_pde offers by name.
#pragma once

#include "attn/attention/activation_registry.hpp"
#include "attn/pde/navier_stokes.hpp"
#include "attn/pde/problems.hpp"

namespace train_pde {

/// Of the jets that a problem's networks compute with.
template <class Problem>
using CallOf = attn::AttentionCall<Kokkos::DefaultExecutionSpace, typename Problem::Orders::template Jet<float>>;

/// Convection and reaction have the same jets.
using Activation = attn::BasicAnyActivation<CallOf<attn::pde::Convection>, CallOf<attn::pde::WaveEquation>,
                                            CallOf<attn::pde::Burgers>, CallOf<attn::pde::NavierStokes>>;

attn::ActivationRegistry<Activation> const& activations();

}  // namespace train_pde
