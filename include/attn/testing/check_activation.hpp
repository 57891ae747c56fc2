/// check_activation: is an activation sound?
///
///     auto const report = attn::testing::check_activation(SquaredRelu{});
///     if (!report) std::cout << report.message();
///
/// A kernel evaluates an activation on scalars, packs and jets, forward and backward. What it takes for granted is
/// tried here on a range of scores: the same weight from every call and every scalar type, slopes and jets that agree
/// with finite differences, finite results at zero and far from it; for a row-normalised activation, weights that do
/// not depend on the order of scores, and its pullback; for one with trained numbers, its parameter slopes.
#pragma once

#include "attn/testing/detail/check_pointwise.hpp"
#include "attn/testing/detail/check_row.hpp"

namespace attn::testing {

/// Tries `a`, and lists what is wrong with it, one sentence for each kind of fault. Takes some milliseconds.
///
/// Numbers that are trained are replaced by their initial values, so that `a` may hold pointers into any memory.
template <class A>
ActivationReport check_activation(A const& a, CheckActivationOptions const& options = {}) {
  static_assert(Activation<A, double>,
                "check_activation: the activation must be pointwise or row-normalised: see "
                "attn/activation/concepts.hpp");
  ActivationReport report;
  if (!std::is_trivially_copyable_v<A>) {
    report.add("type", "it is not trivially copyable, as a kernel on a device needs it to be");
  }
  if constexpr (RowActivation<A, double>) {
    if (sizeof(typename A::template Stats<double>) != 2 * sizeof(typename A::template Stats<float>)) {
      report.add("type", "Stats<T> has members of another type than T, which the kernels for packs cannot keep");
    }
    if constexpr (LearnableActivation<A, double>) {
      detail::LearnableRowCheck<A>{a, options, report}.run();
    } else {
      auto const known = attn::for_row(a, Row{});
      detail::RowCheck<std::remove_const_t<decltype(known)>>{known, options, report}.run();
    }
  } else if constexpr (LearnableActivation<A, double>) {
    detail::LearnableCheck<A>{a, options, report}.run();
  } else {
    detail::PointwiseCheck<A, A>{a, a, options, report}.run();
  }
  return report;
}

}  // namespace attn::testing
