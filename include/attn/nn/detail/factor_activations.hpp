/// The activations of the three factors of Nystrom attention, and their trained numbers.
#pragma once

#include "attn/nn/detail/module_activation.hpp"

#include <vector>

namespace attn::nn::detail {

/// Each with numbers of its own: {queries,landmarks,keys}.activation.<name>.
template <class A1, class A2, class A3>
class FactorActivations {
 public:
  FactorActivations(Builder const& builder, A1 const& a1, A2 const& a2, A3 const& a3, Index heads, Index length,
                    Index landmarks, bool per_head)
      : first_(builder / "queries", a1, heads, landmarks, per_head),
        second_(builder / "landmarks", a2, heads, landmarks, per_head),
        third_(builder / "keys", a3, heads, length, per_head) {}
  auto const& first() const { return first_; }
  auto const& second() const { return second_; }
  auto const& third() const { return third_; }

 private:
  ModuleActivation<A1> first_;
  ModuleActivation<A2> second_;
  ModuleActivation<A3> third_;
};

/// Where all three are of one type they share one set, activation.<name>: with c in front of every factor, the output
/// depends on c1 c3 / c2 alone.
template <class A>
class FactorActivations<A, A, A> {
 public:
  FactorActivations(Builder const& builder, A const& a1, A const& a2, A const& a3, Index heads, Index length,
                    Index landmarks, bool per_head) {
    if (same(a1, a2) && same(a1, a3)) {
      each_.emplace_back(builder, a1, heads, length, per_head);
    } else {
      each_.emplace_back(builder / "queries", a1, heads, landmarks, per_head);
      each_.emplace_back(builder / "landmarks", a2, heads, landmarks, per_head);
      each_.emplace_back(builder / "keys", a3, heads, length, per_head);
    }
  }
  auto const& first() const { return each_.front(); }
  auto const& second() const { return each_[each_.size() / 2]; }
  auto const& third() const { return each_.back(); }

 private:
  /// Of activations chosen at run time, this is known when they are given.
  static bool same([[maybe_unused]] A const& a, [[maybe_unused]] A const& b) {
    if constexpr (ErasedActivation<A>) {
      return a.holds_same_type(b);
    } else {
      return true;
    }
  }

  std::vector<ModuleActivation<A>> each_;  // three, or one for all
};

}  // namespace attn::nn::detail
