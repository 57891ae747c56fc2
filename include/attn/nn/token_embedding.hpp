/// TokenEmbedding: a learned vector for each token, and the output layer that shares them.
#pragma once

#include "attn/nn/embedding.hpp"
#include "attn/nn/linear.hpp"

#include <cmath>

namespace attn::nn {

namespace detail {

/// y_r = table[id_r]; NaN where the table has no such row.
template <class T>
struct LookUpRows {
  using R = RealOf<T>;
  R const* table;
  int const* ids;
  T* y;
  Index entries, width;
  template <class Lanes>
  ATTN_FUNCTION void operator()(Lanes lanes, Index row, Index column) const {
    using Value = typename Lanes::Value;
    bool const known = ids[row] >= 0 && ids[row] < entries;
    Value const value = known ? lanes.load(table + ids[row] * width + column) : Value(R(NAN));
    lanes.store(y + row * width + column, value);
  }
};

}  // namespace detail

/// ids (B, N) -> y (B, N, width). Parameter weight (vocabulary, width): PyTorch's nn.Embedding. It does not decay.
///
///     TokenEmbedding const tokens(ctx / "tokens", {.vocabulary = 256, .width = 64});
///     Sequential const model{tokens, SinusoidalPositions(), blocks, tokens.output_layer()};   // tied weights
class TokenEmbedding {
 public:
  struct Config {
    Index vocabulary = 0;
    Index width = 0;
    Initializer initial = normal(0.02);
  };

  template <class Ctx>
  struct Tape {
    Tensor<int const, 2, typename Ctx::MemorySpace> ids;
  };

  TokenEmbedding(Builder const& builder, Config const& c)
      : config_(c), weight_(builder.add<2>("weight", {c.vocabulary, c.width}, c.initial, {.decays = false})) {}

  /// Hosts refuse ids that are none of the vocabulary; devices give NaN for them, and no gradient.
  template <class Ctx>
  Forward<TensorOf<Ctx, 3>, Tape<Ctx>> forward(Ctx& ctx, Tensor<int const, 2, typename Ctx::MemorySpace> ids) const {
    using T = typename Ctx::Scalar;
    ATTN_CHECK(ids.is_contiguous(), "TokenEmbedding::forward: give contiguous ids (B, N)");
    if constexpr (HostExecutionSpace<typename Ctx::Space>) {
      for (Index i = 0; i < ids.size(); ++i) {
        ATTN_CHECK(ids.data()[i] >= 0 && ids.data()[i] < config_.vocabulary,
                   "TokenEmbedding::forward: give ids from 0 to ", config_.vocabulary - 1, ", got ", ids.data()[i]);
      }
    }
    auto const y = ctx.tensor(ids.extent(0), ids.extent(1), config_.width);
    elementwise<T>(ctx.exec, "attn::TokenEmbedding", ids.size(), config_.width,
                   detail::LookUpRows<T>{ctx.parameters.value(weight_).data(), ids.data(), y.data(), config_.vocabulary,
                                         config_.width});
    return {y, {ctx.keeps_tape() ? ids : Tensor<int const, 2, typename Ctx::MemorySpace>()}};
  }

  /// forward: y_r = weight[id_r]; hence d_weight[id_r] += d_y_r. Ids have no gradient.
  template <class Ctx>
  void backward(Ctx& ctx, Tape<Ctx>&& tape, ConstTensorOf<Ctx, 3> d_y) const {
    detail::check_tape("TokenEmbedding::backward", tape.ids);
    ATTN_CHECK(
        d_y.extents() == (Extents<3>{tape.ids.extent(0), tape.ids.extent(1), config_.width}) && d_y.is_contiguous(),
        "TokenEmbedding::backward: give d_y the shape of y");
    detail::scatter_rows(ctx, d_y.rows(), tape.ids.data(), config_.vocabulary, DropoutMask<typename Ctx::Real>(),
                         ctx.parameters.gradient(weight_).data());
  }

  /// x (B, N, width) -> logits (B, N, vocabulary) = x weight^T, over the same weight, whose gradient is the sum of
  /// those of both uses; it is registered, and stored, once (Press & Wolf 2017, "Using the output embedding to improve
  /// language models").
  Linear output_layer() const {
    return Linear({.inputs = config_.width, .outputs = config_.vocabulary, .bias = false}, weight_, {});
  }

 private:
  Config config_;
  Parameter<2> weight_;
};

}  // namespace attn::nn
