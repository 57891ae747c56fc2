/// The tokens of W short sequences that carry derivatives, one sequence in each lane: jets of packs.
#pragma once

#include "attn/attention/detail/host/tile.hpp"
#include "attn/core/jet_tensor.hpp"

#include <algorithm>
#include <vector>

namespace attn::detail::host {

template <class J>
struct JetOfPacks;
template <class R, int... Orders>
struct JetOfPacks<Jet<R, Orders...>> {
  using type = Jet<Pack<R>, Orders...>;
};

/// The tokens (tokens, width) of one head of `lanes` sequences.
template <class S>
class JetTokens {
  using P = decltype(S{}.value());
  using R = RealOf<S>;

 public:
  static constexpr int size = S::size;

  /// Room for (tokens, width) jets, kept by the thread between calls.
  void resize(Index tokens, Index width) {
    width_ = width;
    jets_.resize(std::size_t(tokens * width));
  }
  void fill_zero() { std::fill(jets_.begin(), jets_.end(), S(0)); }
  S* operator[](Index token) { return jets_.data() + token * width_; }

  template <class X>
  void load(X const& x, Index first, int lanes, Index head) {
    resize(x.extent(2), x.extent(3));
    for (int c = 0; c < size; ++c) {
      auto const* const plane = (x.data() + (first * x.stride(0) + head * x.stride(1))).plane(c);
      for (Index token = 0; token < x.extent(2); ++token) {
        S* const to = (*this)[token];
        if (plane == nullptr) {
          for (Index d = 0; d < width_; ++d) to[d].coefficients[c] = P(R(0));
        } else if (x.step() == 1) {
          rows_to_lanes<P>(plane + token * x.stride(2), x.stride(0), lanes, int(width_), R(1), numbers(to, c),
                           from_jet_to_jet, next_group(x, head, P::width));
        } else {
          for (int lane = 0; lane < lanes; ++lane) {
            auto const* const from = plane + (lane * x.stride(0) + token * x.stride(2)) * x.step();
            for (Index d = 0; d < width_; ++d) to[d].coefficients[c].lanes[lane] = from[d * x.step()];
          }
        }
      }
    }
  }

  template <class X>
  void store(X const& x, Index first, int lanes, Index head) {
    for (int c = 0; c < size; ++c) {
      auto* const plane = (x.data() + (first * x.stride(0) + head * x.stride(1))).plane(c);
      if (plane == nullptr) continue;
      for (Index token = 0; token < x.extent(2); ++token) {
        S* const from = (*this)[token];
        if (x.step() == 1) {
          lanes_to_rows<false>(numbers(from, c), from_jet_to_jet, P(R(1)), plane + token * x.stride(2), x.stride(0),
                               lanes, int(width_));
        } else {
          for (int lane = 0; lane < lanes; ++lane) {
            auto* const to = plane + (lane * x.stride(0) + token * x.stride(2)) * x.step();
            for (Index d = 0; d < width_; ++d) to[d * x.step()] = from[d].coefficients[c].lanes[lane];
          }
        }
      }
    }
  }

 private:
  static constexpr Index from_jet_to_jet = Index(sizeof(S) / sizeof(R));
  /// Coefficient c of jets as numbers in lanes.
  static R* numbers(S* jets, int c) { return reinterpret_cast<R*>(&jets->coefficients[c]); }

  std::vector<S> jets_;
  Index width_ = 0;
};

}  // namespace attn::detail::host
