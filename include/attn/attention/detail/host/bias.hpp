/// The gradient of a bias on the host: sums over the sequences and heads that share it, in a fixed order.
#pragma once

#include "attn/attention/detail/host/call.hpp"

namespace attn::detail::host {

/// The order of the pieces of work of a backward pass, (sequence, key head, part of its queries). The sequences b,
/// b + B', b + 2 B', ... that share a bias follow one another, cut into `groups`. A group is the work of one thread,
/// which adds its gradients of the bias in this order. Shapes alone decide on the groups.
struct PieceOrder {
  Index batch, key_heads, parts;
  Index biases, groups = 1;  ///< B', and groups of the B / B' sequences that share one

  struct Piece {
    Index key_head, part;  ///< of all (B, H_kv) heads
  };

  Index sharing() const { return biases > 0 ? batch / biases : 0; }
  Index n_groups() const { return biases * key_heads * parts * groups; }
  /// The place of a group's first piece in the order; its last is in front of the next group's first.
  Index first(Index group) const { return group / groups * sharing() + sharing() * (group % groups) / groups; }
  Piece at(Index place) const {
    Index const row = place / sharing(), sequence = row / parts / key_heads + place % sharing() * biases;
    return {sequence * key_heads + row / parts % key_heads, row % parts};
  }
};

/// Nothing is gathered.
template <class T, class Bias>
struct BiasGradient {
  struct Sums {};

  BiasGradient(Bias const&, Shape const&) {}
  PieceOrder order(Index parts, Shape const& s) const { return {s.batch, s.key_heads, parts, s.batch}; }
  Index size(PieceOrder const&) const { return 0; }
  bool in_place(PieceOrder const&) const { return true; }
  Sums sums(PieceOrder const&, T*, Index) const { return {}; }
  template <class Exec>
  void add(std::string const&, Exec const&, PieceOrder const&, T*) const {}
};

/// Each group of an order gathers in an array of its own, (B', H, N, M); a single one in the gradient itself if that
/// has all heads.
template <class T, class R, class Memory>
struct BiasGradient<T, ScoreBias<R, Memory>> {
  using Sums = Tensor<T, 4, Memory>;

  Tensor<R, 4, Memory> gradient;
  bool is_wanted;
  Index heads;

  BiasGradient(ScoreBias<R, Memory> const& bias, Shape const& shape)
      : gradient(bias.gradient), is_wanted(gradient.data() != nullptr), heads(shape.heads) {}

  /// Enough groups for many threads, as long as their sums take no more memory than the queries.
  PieceOrder order(Index parts, Shape const& s) const {
    PieceOrder order{s.batch, s.key_heads, parts, is_wanted ? gradient.extent(0) : s.batch};
    if (!is_wanted || order.n_groups() == 0) return order;
    constexpr Index enough = 256;
    Index const affordable = order.sharing() * s.width / std::max(s.n_keys, 1);
    Index const most = std::clamp<Index>(affordable, 1, order.sharing());
    order.groups = std::clamp<Index>(enough / order.n_groups(), 1, most);
    return order;
  }

  bool in_place(PieceOrder const& order) const { return order.groups == 1 && gradient.extent(1) == heads; }
  Extents<4> extents() const { return {gradient.extent(0), heads, gradient.extent(2), gradient.extent(3)}; }
  /// Numbers of scratch memory.
  Index size(PieceOrder const& order) const {
    return is_wanted && !in_place(order) ? order.groups * Sums(nullptr, extents()).size() : 0;
  }
  /// Where the pieces of a group gather.
  Sums sums(PieceOrder const& order, T* scratch, Index group) const {
    if (!is_wanted || in_place(order)) return gradient;
    Sums const all(scratch, extents());
    return {scratch + group % order.groups * all.size(), extents()};
  }

  /// Adds the sums of all groups to the gradient.
  template <class Exec>
  void add(std::string const& name, Exec const& exec, PieceOrder const& order, T* scratch) const {
    if (size(order) == 0) return;
    Index const rows = gradient.extent(2), bias_heads = gradient.extent(1);
    share(name, exec, gradient.extent(0) * bias_heads * rows, 16, [&](Index first, Index last, int) {
      for (Index item = first; item < last; ++item) {
        Index const b = item / rows / bias_heads, own_head = item / rows % bias_heads, i = item % rows;
        for (Index group = 0; group < order.groups; ++group) {
          Sums const from = sums(order, scratch, group);
          for (Index h = own_head; h < heads; h += bias_heads) {
            for (Index j = 0; j < gradient.extent(3); ++j) gradient(b, own_head, i, j) += from(b, h, i, j);
          }
        }
      }
    });
  }
};

}  // namespace attn::detail::host
