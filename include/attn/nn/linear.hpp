/// Linear: y = x W^T + b, and the work on y that is best done while it is in the cache.
#pragma once

#include "attn/core/matrix_functors.hpp"
#include "attn/linalg/gemm.hpp"
#include "attn/linalg/reduce.hpp"
#include "attn/nn/dropout.hpp"
#include "attn/nn/module.hpp"
#include "attn/nn/precision.hpp"

namespace attn::nn {

/// Where the end of a residual branch adds its result: y_b = source_b + factor_b f(x)_b for sample b.
template <class Ctx>
struct Onto {
  ConstTensorOf<Ctx, 3> source;                                                 // (B, N, C)
  Tensor<typename Ctx::Real const, 1, typename Ctx::MemorySpace> factors = {};  // (B); no data: all 1
};

namespace detail {

/// y += b, for each row of a product y (rows, outputs) that carries values; of jets, derivatives have no bias.
template <class F>
struct AddBias {
  F* y;
  F const* bias;
  Index stride;
  Index value_rows;
  linalg::Addends<F> addends(Index rows) const {
    return rows <= value_rows ? linalg::Addends<F>{bias} : linalg::Addends<F>{};
  }
  template <class Lanes>
  ATTN_FUNCTION void operator()(Lanes lanes, Index row, Index column) const {
    if (row < value_rows) AddToRows<F>{y, bias, stride}(lanes, row, column);
  }
};

/// y = source + y + b.
template <class T>
struct AddBiasAndSource {
  T* y;
  FactorOf<T> const* bias;
  T const* source;
  Index stride;
  linalg::Addends<T> addends(Index) const { return {bias, source}; }
  template <class Lanes>
  ATTN_FUNCTION void operator()(Lanes lanes, Index row, Index column) const {
    Index const at = row * stride + column;
    lanes.store(y + at, lanes.load(source + at) + (lanes.load(y + at) + lanes.load(bias + column)));
  }
};

/// y = source + y + b on the rows of all planes of a product; of jets, only values have the bias, which may be null.
template <class E, class R>
struct AddBiasAndRows {
  E* y;
  R const* bias;
  E const* source;
  Index y_stride, source_stride, value_rows;
  template <class Lanes>
  ATTN_FUNCTION void operator()(Lanes lanes, Index row, Index column) const {
    E* const at = y + row * y_stride + column;
    auto value = lanes.load(at) + lanes.load(source + row * source_stride + column);
    if (bias != nullptr && row < value_rows) value += lanes.load(bias + column);
    lanes.store(at, value);
  }
};

/// y = source + factor dropout(y + b); `bias`, `source` and `factors` may be null.
template <class T>
struct FinishRow {
  T* y;
  RealOf<T> const* bias;
  T const* source;
  RealOf<T> const* factors;
  Index rows_of_sample;
  DropoutMask<RealOf<T>> mask;
  Index stride;
  template <class Lanes>
  ATTN_FUNCTION void operator()(Lanes lanes, Index row, Index column) const {
    using Value = typename Lanes::Value;
    Index const at = row * stride + column;
    Value value = lanes.load(y + at);
    if (bias != nullptr) value += lanes.load(bias + column);
    if (!mask.is_off()) value *= mask.factors(lanes, at);
    if (factors != nullptr) value *= Value(factors[row / rows_of_sample]);
    if (source != nullptr) value += lanes.load(source + at);
    lanes.store(y + at, value);
  }
};

/// The transpose of FinishRow: to = factor dropout'(d_y).
template <class T>
struct UnfinishRow {
  T const* d_y;
  RealOf<T> const* factors;
  Index rows_of_sample;
  DropoutMask<RealOf<T>> mask;
  Index stride;
  T* to;
  template <class Lanes>
  ATTN_FUNCTION void operator()(Lanes lanes, Index row, Index column) const {
    using Value = typename Lanes::Value;
    Index const at = row * stride + column;
    Value value = lanes.load(d_y + at);
    if (!mask.is_off()) value *= mask.factors(lanes, at);
    if (factors != nullptr) value *= Value(factors[row / rows_of_sample]);
    lanes.store(to + at, value);
  }
};

}  // namespace detail

/// weight (outputs, inputs), bias (outputs).
class Linear {
 public:
  struct Config {
    Index inputs = 0;
    Index outputs = 0;
    bool bias = true;
    Initializer initial = truncated_normal(0.02);
    Initializer initial_bias = zeros();
  };

  template <class X>
  struct Tape {
    X x;
  };

  /// How a residual branch ended: what its backward needs to know.
  template <class Ctx>
  struct Ending {
    DropoutMask<typename Ctx::Real> mask;
    Tensor<typename Ctx::Real const, 1, typename Ctx::MemorySpace> factors;
    bool is_plain() const { return mask.is_off() && factors.data() == nullptr; }
  };

  Linear(Builder const& builder, Config const& config) : config_(config) {
    ATTN_CHECK(config.inputs > 0 && config.outputs > 0, "Linear: give positive widths, got ", config.inputs,
               " inputs and ", config.outputs, " outputs");
    weight_ = builder.add<2>("weight", {config.outputs, config.inputs}, config.initial);
    if (config.bias) bias_ = builder.add<1>("bias", {config.outputs}, config.initial_bias);
  }

  /// Over parameters that are registered already: weight (outputs, inputs), and bias (outputs) if `config.bias`.
  Linear(Config const& config, Parameter<2> const& weight, Parameter<1> const& bias)
      : config_(config), weight_(weight), bias_(bias) {}

  /// The layer whose outputs are `first` ... `last` - 1 of this one's, over the same parameters.
  Linear part(Index first, Index last) const {
    ATTN_CHECK(0 <= first && first < last && last <= config_.outputs, "Linear::part: choose outputs below ",
               config_.outputs, ", got ", first, " ... ", last - 1);
    Config config = config_;
    config.outputs = last - first;
    return Linear(config, {weight_.offset + first * config_.inputs, {last - first, config_.inputs}},
                  config_.bias ? Parameter<1>{bias_.offset + first, {last - first}} : bias_);
  }

  /// x (..., inputs) -> y (..., outputs). 2 inputs outputs flops a row.
  template <class Ctx, class X>
  auto forward(Ctx& ctx, X const& x) const {
    detail::ConstLike<Ctx, X> const input = x;
    check_width("Linear::forward", input, config_.inputs);
    auto const y = ctx.tensor(with_width(input.extents(), config_.outputs));
    multiply(ctx, input.rows(), y.rows());
    return Forward<detail::Like<Ctx, X>, Tape<detail::ConstLike<Ctx, X>>>{
        y, {ctx.keeps_tape() ? input : detail::ConstLike<Ctx, X>()}};
  }

  template <class Ctx, class X, class D>
  auto backward(Ctx& ctx, Tape<X>&& tape, D const& d_y) const {
    detail::check_tape("Linear::backward", tape.x);
    check_width("Linear::backward", d_y, config_.outputs);
    auto const d_x = ctx.tensor(tape.x.extents());
    add_gradients(ctx, tape.x.rows(), d_y.rows());
    pull_back(ctx, d_y.rows(), d_x.rows());
    return d_x;
  }

  // What fused modules are made of. All tensors are matrices, with rows of unit stride.

  /// y (rows, outputs) = x W^T + b.
  template <class Ctx>
  void multiply(Ctx& ctx, ConstTensorOf<Ctx, 2> x, TensorOf<Ctx, 2> y) const {
    if (config_.bias) {
      typename Workspace<typename Ctx::MemorySpace>::Scope const scope(ctx.workspace);
      auto const rows = real_rows(y);
      multiply(ctx, x, y,
               detail::AddBias<FactorOf<typename Ctx::Scalar>>{rows.data(), factor(ctx, bias_).data(), rows.stride(0),
                                                               value_rows(y).extent(0)});
    } else {
      multiply(ctx, x, y, linalg::NoEpilogue{});
    }
  }

  /// y = x W^T, then `epilogue` (which adds the bias) over its elements.
  template <class Ctx, class Epilogue>
  void multiply(Ctx& ctx, ConstTensorOf<Ctx, 2> x, TensorOf<Ctx, 2> y, Epilogue const& epilogue) const {
    typename Workspace<typename Ctx::MemorySpace>::Scope const scope(ctx.workspace);
    linalg::gemm(ctx.exec, 1, real_rows(x), factor(ctx, weight_).transpose(0, 1), 0, real_rows(y), epilogue);
  }

  /// y (rows, outputs) = source + x W^T + b, for tensors of reals or jets.
  template <class Ctx>
  void multiply_onto(Ctx& ctx, ConstTensorOf<Ctx, 2> x, ConstTensorOf<Ctx, 2> source, TensorOf<Ctx, 2> y) const {
    auto const to = real_rows(y);
    auto const from = real_rows(source);
    using E = typename std::remove_cvref_t<decltype(to)>::Scalar;
    multiply(ctx, x, y,
             detail::AddBiasAndRows<E, typename Ctx::Real>{to.data(), bias(ctx), from.data(), to.stride(0),
                                                           from.stride(0), value_rows(y).extent(0)});
  }

  /// y (B, N, outputs) = onto.source + onto.factors dropout(x W^T + b); without a source, without it.
  template <class Ctx>
  Ending<Ctx> finish(Ctx& ctx, ConstTensorOf<Ctx, 3> x, TensorOf<Ctx, 3> y, Dropout const& dropout,
                     Onto<Ctx> const& onto) const {
    using T = typename Ctx::Scalar;
    Ending<Ctx> const ending{dropout.mask(ctx), onto.factors};
    typename Workspace<typename Ctx::MemorySpace>::Scope const scope(ctx.workspace);
    if constexpr (AnyJet<T>) {
      ATTN_CHECK(ending.is_plain(),
                 "Linear::finish: switch dropout and stochastic depth off where jets carry "
                 "derivatives");
      if (onto.source.data() == nullptr) {
        multiply(ctx, x.rows(), y.rows());
      } else {
        multiply_onto(ctx, x.rows(), onto.source.rows(), y.rows());
      }
    } else {
      finish_reals(ctx, x, y, ending, onto.source);
    }
    return ending;
  }

  /// The gradient of x W^T + b from that of `finish`: d_y itself where the ending was plain.
  template <class Ctx>
  ConstTensorOf<Ctx, 3> unfinish(Ctx& ctx, Ending<Ctx> const& ending, ConstTensorOf<Ctx, 3> d_y) const {
    using T = typename Ctx::Scalar;
    if constexpr (!AnyJet<T>) {
      if (!ending.is_plain()) {
        auto const d = ctx.tensor(d_y.extents());
        elementwise<T>(ctx.exec, "attn::Linear::unfinish", d_y.extent(0) * d_y.extent(1), d_y.extent(2),
                       detail::UnfinishRow<T>{d_y.data(), ending.factors.data(), d_y.extent(1), ending.mask,
                                              d_y.stride(1), d.data()});
        return d;
      }
    }
    return d_y;
  }

  /// forward: y = x W^T + b; hence d_W += d_y^T x and d_b += sum of the rows of d_y.
  template <class Ctx>
  void add_gradients(Ctx& ctx, ConstTensorOf<Ctx, 2> x, ConstTensorOf<Ctx, 2> d_y) const {
    linalg::gemm(ctx.exec, 1, real_rows(d_y).transpose(0, 1), real_rows(x), 1, ctx.parameters.gradient(weight_));
    if (config_.bias) linalg::column_sums(ctx.exec, value_rows(d_y), 1, ctx.parameters.gradient(bias_));
  }

  /// forward: y = x W^T + b; hence d_x = d_y W, then `epilogue` over its elements.
  template <class Ctx, class Epilogue = linalg::NoEpilogue>
  void pull_back(Ctx& ctx, ConstTensorOf<Ctx, 2> d_y, TensorOf<Ctx, 2> d_x, Epilogue const& epilogue = {}) const {
    typename Workspace<typename Ctx::MemorySpace>::Scope const scope(ctx.workspace);
    linalg::gemm(ctx.exec, 1, real_rows(d_y), factor(ctx, weight_), 0, real_rows(d_x), epilogue);
  }

  /// The bias where kernels read it; null without one.
  template <class Ctx>
  typename Ctx::Real const* bias(Ctx& ctx) const {
    return config_.bias ? ctx.parameters.value(bias_).data() : nullptr;
  }

  Index inputs() const { return config_.inputs; }
  Index outputs() const { return config_.outputs; }

 private:
  template <class Ctx>
  void finish_reals(Ctx& ctx, ConstTensorOf<Ctx, 3> x, TensorOf<Ctx, 3> y, Ending<Ctx> const& ending,
                    ConstTensorOf<Ctx, 3> from) const {
    using T = typename Ctx::Scalar;
    T const* const source = from.data();
    ATTN_CHECK(source == nullptr || (from.extents() == y.extents() && from.is_contiguous()),
               "Linear::finish: give a contiguous source of the shape of y");
    if (ending.is_plain() && config_.bias) {
      if (source == nullptr) {
        multiply(ctx, x.rows(), y.rows());
      } else {
        multiply(ctx, x.rows(), y.rows(),
                 detail::AddBiasAndSource<T>{y.data(), factor(ctx, bias_).data(), source, y.stride(1)});
      }
    } else {
      multiply(ctx, x.rows(), y.rows(),
               detail::FinishRow<T>{y.data(), config_.bias ? bias(ctx) : nullptr, source, ending.factors.data(),
                                    y.extent(1), ending.mask, y.stride(1)});
    }
  }

  template <class X>
  static void check_width(char const* function, X const& x, Index width) {
    ATTN_CHECK(x.extent(X::rank - 1) == width, function, ": give a tensor of width ", width, ", got ",
               x.extent(X::rank - 1));
  }

  Config config_;
  Parameter<2> weight_;
  Parameter<1> bias_;
};

}  // namespace attn::nn
