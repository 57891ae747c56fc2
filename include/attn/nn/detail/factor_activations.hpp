/// The activations of the three factors of Nystrom attention, and their trained numbers.
#pragma once

#include "attn/nn/detail/module_activation.hpp"

#include <concepts>
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

/// Where all three are the same they share one set, activation.<name>: with c in front of every factor, the output
/// depends on c1 c3 / c2 alone. Activations of one type are the same unless they can be compared and differ.
template <class A>
class FactorActivations<A, A, A> {
 public:
  FactorActivations(Builder const& builder, A const& a1, A const& a2, A const& a3, Index heads, Index length,
                    Index landmarks, bool per_head) {
    bool same = true;
    if constexpr (std::equality_comparable<A>) same = a1 == a2 && a2 == a3;
    if (same) {
      all_.emplace_back(builder, a1, heads, length, per_head);
    } else {
      all_.emplace_back(builder / "queries", a1, heads, landmarks, per_head);
      all_.emplace_back(builder / "landmarks", a2, heads, landmarks, per_head);
      all_.emplace_back(builder / "keys", a3, heads, length, per_head);
    }
  }
  auto const& first() const { return all_.front(); }
  auto const& second() const { return all_[all_.size() / 2]; }
  auto const& third() const { return all_.back(); }

 private:
  std::vector<ModuleActivation<A>> all_;  // one, or three
};

}  // namespace attn::nn::detail
