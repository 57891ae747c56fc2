/// SequenceEmbedding: a learned vector for each token and for each position, added.
#pragma once

#include "attn/core/matrix_functors.hpp"
#include "attn/nn/dropout.hpp"
#include "attn/nn/packed_sequences.hpp"

#include <algorithm>
#include <utility>

namespace attn::nn {

namespace detail {

/// y_r = dropout(words[id_r] + positions[position_r]).
template <class T>
struct EmbedRows {
  using R = RealOf<T>;
  R const* words;
  R const* positions;
  int const* ids;
  int const* position_of;
  T* y;
  Index width;
  DropoutMask<R> mask;
  template <class Lanes>
  ATTN_FUNCTION void operator()(Lanes lanes, Index row, Index column) const {
    Index const at = row * width + column;
    auto value =
        lanes.load(words + ids[row] * width + column) + lanes.load(positions + position_of[row] * width + column);
    if (!mask.is_off()) value *= mask.factors(lanes, at);
    lanes.store(y + at, value);
  }
};

/// parts[part][index[r]] += dropout'(d_y_r) for the rows r of a part, in order. Rows of an index that is no entry are
/// left out.
template <class T, class R>
struct ScatterRows {
  T const* d_y;
  int const* index;
  R* parts;
  Index rows, rows_of_part, entries, width;
  DropoutMask<R> mask;
  template <class Lanes>
  ATTN_FUNCTION void operator()(Lanes lanes, Index part, Index column) const {
    R* const to = parts + part * entries * width + column;
    for (Index e = 0; e < entries; ++e) lanes.store(to + e * width, typename Lanes::Value(R(0)));
    Index const last = (part + 1) * rows_of_part < rows ? (part + 1) * rows_of_part : rows;
    for (Index row = part * rows_of_part; row < last; ++row) {
      if (index[row] < 0 || index[row] >= entries) continue;
      auto value = lanes.load(d_y + row * width + column);
      if (!mask.is_off()) value *= mask.factors(lanes, row * width + column);
      R* const at = to + index[row] * width;
      lanes.store(at, lanes.load(at) + value);
    }
  }
};

/// gradient[index[r]] += dropout'(d_y_r) for all rows, in an order that does not depend on the number of threads: each
/// part of the rows has a table of its own, and there are as many parts as do not cost more memory than d_y.
template <class Ctx>
void scatter_rows(Ctx& ctx, ConstTensorOf<Ctx, 2> d_y, int const* index, Index entries,
                  DropoutMask<typename Ctx::Real> const& mask, typename Ctx::Real* gradient) {
  using R = typename Ctx::Real;
  using Scatter = ScatterRows<typename Ctx::Scalar, R>;
  Index const rows = d_y.extent(0), width = d_y.extent(1);
  if (rows == 0) return;
  Index const wanted = std::clamp(rows / entries, Index(1), Index(64));
  Index const rows_of_part = (rows + wanted - 1) / wanted, parts = (rows + rows_of_part - 1) / rows_of_part;
  typename Workspace<typename Ctx::MemorySpace>::Scope const scope(ctx.workspace);
  auto const tables = ctx.template tensor<R>(parts, entries, width);
  Scatter const scatter{d_y.data(), index, tables.data(), rows, rows_of_part, entries, width, mask};
  if constexpr (HostExecutionSpace<typename Ctx::Space>) {
    for_blocks(ctx.exec, "attn::scatter_rows", parts, [=](Index part) {
      for_lanes<R>(0, width, [&](auto lanes, Index column) { scatter(lanes, part, column); });
    });
  } else {
    elementwise<R>(ctx.exec, "attn::scatter_rows", parts, width, scatter);
  }
  elementwise<R>(ctx.exec, "attn::scatter_rows::sum", 1, entries * width,
                 AddParts<R>{tables.data(), gradient, parts, entries * width});
}

}  // namespace detail

/// Parameters word_embeddings.weight (vocabulary, width) and position_embeddings.weight (positions, width).
class SequenceEmbedding {
 public:
  struct Config {
    Index vocabulary = 0;
    Index positions = 0;
    Index width = 0;
    double dropout = 0;
    Initializer initial = normal(0.02);
  };

  template <class Ctx>
  struct Tape {
    PackedSequences<typename Ctx::MemorySpace> sequences;
    Tensor<int const, 1, typename Ctx::MemorySpace> ids;
    DropoutMask<typename Ctx::Real> mask;
  };

  SequenceEmbedding(Builder const& builder, Config const& c)
      : config_(c),
        words_((builder / "word_embeddings").add<2>("weight", {c.vocabulary, c.width}, c.initial)),
        positions_((builder / "position_embeddings").add<2>("weight", {c.positions, c.width}, c.initial)),
        dropout_(builder / "dropout", c.dropout) {}

  /// ids (rows), each below `vocabulary`, which the caller has checked -> y (rows, width).
  template <class Ctx>
  Forward<TensorOf<Ctx, 2>, Tape<Ctx>> forward(Ctx& ctx, PackedSequences<typename Ctx::MemorySpace> const& sequences,
                                               Tensor<int const, 1, typename Ctx::MemorySpace> ids) const {
    using T = typename Ctx::Scalar;
    ATTN_CHECK(ids.extent(0) == sequences.rows() && sequences.length <= config_.positions,
               "SequenceEmbedding::forward: give ", sequences.rows(), " ids and at most ", config_.positions,
               " positions, got ", ids.extent(0), " and ", sequences.length);
    auto const y = ctx.tensor(sequences.rows(), config_.width);
    auto const mask = dropout_.mask(ctx);
    elementwise<T>(ctx.exec, "attn::SequenceEmbedding", y.extent(0), config_.width,
                   detail::EmbedRows<T>{ctx.parameters.value(words_).data(), ctx.parameters.value(positions_).data(),
                                        ids.data(), sequences.position_of.data(), y.data(), config_.width, mask});
    return {y, {sequences, ids, mask}};
  }

  /// The same for both as one value.
  template <class Ctx>
  auto forward(Ctx& ctx, std::pair<PackedSequences<typename Ctx::MemorySpace>,
                                   Tensor<int const, 1, typename Ctx::MemorySpace>> const& tokens) const {
    return forward(ctx, tokens.first, tokens.second);
  }

  template <class Ctx>
  void backward(Ctx& ctx, Tape<Ctx>&& tape, ConstTensorOf<Ctx, 2> d_y) const {
    detail::scatter_rows(ctx, d_y, tape.ids.data(), config_.vocabulary, tape.mask,
                         ctx.parameters.gradient(words_).data());
    detail::scatter_rows(ctx, d_y, tape.sequences.position_of.data(), config_.positions, tape.mask,
                         ctx.parameters.gradient(positions_).data());
  }

 private:
  Config config_;
  Parameter<2> words_;
  Parameter<2> positions_;
  Dropout dropout_;
};

}  // namespace attn::nn
