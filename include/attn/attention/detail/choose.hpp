/// Which kernel serves a call of attention: one function for dispatch, for `describe`, and for the table in
/// docs/architecture.md, which a test walks row by row.
#pragma once

#include <string>

namespace attn {

enum class Pass { forward, backward };

namespace detail {

/// The kernels, best first.
enum class AttentionKernel {
  host_jets,             ///< host/jets.hpp
  host_linear,           ///< linear/, and under causal masks host besides
  host_short_sequences,  ///< host/short_sequences.hpp
  host,                  ///< host/forward_block.hpp, host/backward_block.hpp
  hopper,                ///< hopper/
  tensor_cores,          ///< cuda/
  team                   ///< team/
};

/// What the choice depends on. Types decide on all of them but the last five, on which numbers, sizes and the device
/// do.
struct CallTraits {
  bool on_host = false;           ///< the execution space is one of the host
  bool has_packs = false;         ///< the compiler takes vectors in functions that also run on devices: all but nvcc do
  bool is_jet = false;            ///< the numbers carry derivatives
  bool takes_packs = false;       ///< the numbers are real, and the activation takes packs of them
  bool wants_norms = false;       ///< of the forward pass, norms or statistics of rows
  bool sums_give_norms = false;   ///< norms follow from sums over a row that is not complete yet
  bool has_bias = false;          ///< something is added to scores
  bool drops = false;             ///< some weights are dropped
  bool is_linear = false;         ///< a polynomial of the score, whose sums over tokens cost less than its weights
  bool is_short = false;          ///< many sequences of fewer tokens than half a pack has lanes
  bool has_tensor_cores = false;  ///< the device has tensor cores for these numbers and widths
  bool has_warpgroups = false;    ///< and those of Hopper serve: wgmma and TMA, for long sequences in aligned rows
};

constexpr AttentionKernel choose(Pass pass, CallTraits const& t) {
  bool const gathers = pass == Pass::forward && t.wants_norms;
  if (t.on_host && t.has_packs && t.is_jet) return AttentionKernel::host_jets;
  if (t.on_host && t.has_packs && t.takes_packs && (!gathers || t.sums_give_norms)) {
    if (t.is_linear && !gathers && !t.has_bias && !t.drops) return AttentionKernel::host_linear;
    bool const in_lanes = t.is_short && !gathers && !t.has_bias;
    return in_lanes ? AttentionKernel::host_short_sequences : AttentionKernel::host;
  }
  if (t.has_tensor_cores) {
    return t.has_warpgroups && !t.has_bias ? AttentionKernel::hopper : AttentionKernel::tensor_cores;
  }
  return AttentionKernel::team;
}

constexpr bool is_packed_host(AttentionKernel k) {
  return k == AttentionKernel::host || k == AttentionKernel::host_short_sequences || k == AttentionKernel::host_linear;
}
constexpr bool uses_tensor_cores(AttentionKernel k) {
  return k == AttentionKernel::hopper || k == AttentionKernel::tensor_cores;
}

/// What Kokkos' profiling tools see: "attn::attention (team)", "attn::attention_backward (team)".
inline std::string region_name(Pass pass, std::string const& kernel) {
  return (pass == Pass::forward ? "attn::attention (" : "attn::attention_backward (") + kernel + ")";
}

}  // namespace detail
}  // namespace attn
