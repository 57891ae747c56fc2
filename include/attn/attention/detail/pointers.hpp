/// The pointers that policies hold: trained numbers, lengths of sequences. A null one gets a sentence.
#pragma once

#include "attn/activation/concepts.hpp"
#include "attn/attention/mask.hpp"
#include "attn/core/check.hpp"

namespace attn::detail {

template <class M>
void check_pointers_of_mask(char const*, M const&) {}
inline void check_pointers_of_mask(char const* function, KeyPadding const& mask) {
  ATTN_CHECK(
      mask.lengths != nullptr, function,
      ": give the mask KeyPadding the lengths of the sequences: KeyPadding{lengths}; a module takes them from its "
      "context: WithSequences(ctx, {.lengths = lengths})");
}
template <class A, class B>
void check_pointers_of_mask(char const* function, Both<A, B> const& mask) {
  check_pointers_of_mask(function, mask.first);
  check_pointers_of_mask(function, mask.second);
}

/// For a call that computes something, with scores of type `T`.
template <class T, class A, class M>
void check_pointers(char const* function, [[maybe_unused]] A const& a, M const& mask) {
  if constexpr (LearnableActivation<A, T>) {
    ATTN_CHECK(
        a.parameters().value != nullptr, function,
        ": give the activation a pointer to its trained numbers, as in DynamicScale{number}; a module keeps them "
        "itself");
  }
  check_pointers_of_mask(function, mask);
}

}  // namespace attn::detail
