/// Projections: the matrices around attention, which own the published names and layouts.
///
/// What the projections of an `Attention` offer:
///
///  1. They are constructed from a `Builder`, a `ProjectionConfig`, and a function that registers what attends at the
///     place where the published code has it.
///  2. `room(ctx, n_x, n_memory)` makes q, k and v (or their gradients) for tokens of these extents; they lie where the
///     products write them, and attention reads them there. `n_memory` is null in self-attention.
///  3. `project(ctx, x, memory, room)` fills a room.
///  4. `pull_back(ctx, x, memory, d, d_x, d_memory)` adds the gradients of the parameters, and sets d_x and d_memory;
///     in self-attention, where `d_memory` has no data, d_x is that of all three.
///  5. `out()` is the layer behind attention, and `finish` ends on it. `dropout_name` is where that dropout draws.
#pragma once

#include "attn/core/matrix_functors.hpp"
#include "attn/nn/linear.hpp"

#include <optional>

namespace attn::nn {

/// What projections are built from.
struct ProjectionConfig {
  Index width = 0;
  bool bias = true;                                            ///< of the products that make q, k and v
  std::optional<Initializer> initial = {}, initial_bias = {};  ///< none: those of the published code
};

namespace detail {

/// q, k and v of one matrix (3 C, C), whose outputs lie side by side.
class JoinedProjections {
 public:
  template <class Ctx>
  struct Room {
    TensorOf<Ctx, 3> all;      // (B, N, 3 C); in cross-attention q alone, (B, N, C)
    TensorOf<Ctx, 3> others;   // in cross-attention k and v, (B, M, 2 C)
    TensorOf<Ctx, 3> q, k, v;  // parts of the above
  };

  template <class Ctx>
  Room<Ctx> room(Ctx& ctx, Extents<3> const& n_x, Extents<3> const* n_memory) const {
    Index const c = out_.inputs();
    if (n_memory == nullptr) {
      auto const all = ctx.tensor(with_width(n_x, 3 * c));
      return {all, {}, all.slice(2, 0, c), all.slice(2, c, 2 * c), all.slice(2, 2 * c, 3 * c)};
    }
    auto const q = ctx.tensor(with_width(n_x, c));
    auto const others = ctx.tensor(with_width(*n_memory, 2 * c));
    return {q, others, q, others.slice(2, 0, c), others.slice(2, c, 2 * c)};
  }

  template <class Ctx>
  void project(Ctx& ctx, ConstTensorOf<Ctx, 3> x, ConstTensorOf<Ctx, 3> memory, Room<Ctx> const& to) const {
    if (to.others.data() == nullptr) return in_.multiply(ctx, x.rows(), to.all.rows());
    of_queries().multiply(ctx, x.rows(), to.all.rows());
    of_others().multiply(ctx, memory.rows(), to.others.rows());
  }

  template <class Ctx>
  void pull_back(Ctx& ctx, ConstTensorOf<Ctx, 3> x, ConstTensorOf<Ctx, 3> memory, Room<Ctx> const& d,
                 TensorOf<Ctx, 3> d_x, TensorOf<Ctx, 3> d_memory) const {
    if (d.others.data() == nullptr) return pull_back(ctx, in_, x, d.all, d_x);
    pull_back(ctx, of_queries(), x, d.all, d_x);
    pull_back(ctx, of_others(), memory, d.others, d_memory);
  }

  Linear const& out() const { return out_; }

 protected:
  JoinedProjections(Linear const& in, Linear const& out) : in_(in), out_(out) {}

 private:
  Linear of_queries() const { return in_.part(0, out_.inputs()); }
  Linear of_others() const { return in_.part(out_.inputs(), 3 * out_.inputs()); }

  template <class Ctx>
  static void pull_back(Ctx& ctx, Linear const& linear, ConstTensorOf<Ctx, 3> x, ConstTensorOf<Ctx, 3> d_y,
                        TensorOf<Ctx, 3> d_x) {
    linear.add_gradients(ctx, x.rows(), d_y.rows());
    linear.pull_back(ctx, d_y.rows(), d_x.rows());
  }

  Linear in_, out_;
};

}  // namespace detail

/// timm's: qkv.weight (3 C, C), qkv.bias, proj.weight, proj.bias; what attends has its names beside these.
class FusedQkv : public detail::JoinedProjections {
 public:
  static constexpr char const* dropout_name = "proj_drop";

  template <class Core>
  FusedQkv(Builder const& builder, ProjectionConfig const& c, Core const& core)
      : JoinedProjections{
            Linear(builder / "qkv", {.inputs = c.width,
                                     .outputs = 3 * c.width,
                                     .bias = c.bias,
                                     .initial = initial(c),
                                     .initial_bias = initial_bias(c)}),
            Linear(builder / "proj",
                   {.inputs = c.width, .outputs = c.width, .initial = initial(c), .initial_bias = initial_bias(c)})} {
    core(builder);  // after the braces, which register in this order
  }

  template <class Ctx>
  Linear::Ending<Ctx> finish(Ctx& ctx, ConstTensorOf<Ctx, 3> x, TensorOf<Ctx, 3> y, Dropout const& dropout,
                             Onto<Ctx> const& onto) const {
    return out().finish(ctx, x, y, dropout, onto);
  }

 private:
  static Initializer initial(ProjectionConfig const& c) { return c.initial.value_or(truncated_normal(0.02)); }
  static Initializer initial_bias(ProjectionConfig const& c) { return c.initial_bias.value_or(zeros()); }
};

/// Those of PyTorch's MultiheadAttention: in_proj_weight (3 C, C), in_proj_bias, out_proj.weight, out_proj.bias. The
/// first two start as there; initial values that are given are those of out_proj.
class PackedProjections : public detail::JoinedProjections {
 public:
  static constexpr char const* dropout_name = "out_drop";

  template <class Core>
  PackedProjections(Builder const& builder, ProjectionConfig const& c, Core const& core)
      : JoinedProjections{in(builder, c),
                          Linear(builder / "out_proj", {.inputs = c.width,
                                                        .outputs = c.width,
                                                        .initial = c.initial.value_or(fan_in_uniform(c.width)),
                                                        .initial_bias = c.initial_bias.value_or(zeros())})} {
    core(builder);
  }

  /// Adds to the source before the bias, as products of jets do: values with and without derivatives have the same
  /// bits.
  template <class Ctx>
  Linear::Ending<Ctx> finish(Ctx& ctx, ConstTensorOf<Ctx, 3> x, TensorOf<Ctx, 3> y, Dropout const& dropout,
                             Onto<Ctx> const& onto) const {
    Linear::Ending<Ctx> const ending{dropout.mask(ctx), onto.factors};
    if (!ending.is_plain() || onto.source.data() == nullptr) return out().finish(ctx, x, y, dropout, onto);
    out().multiply_onto(ctx, x.rows(), onto.source.rows(), y.rows());
    return ending;
  }

 private:
  static Linear in(Builder const& builder, ProjectionConfig const& c) {
    auto const weight = builder.add<2>("in_proj_weight", {3 * c.width, c.width}, xavier_uniform(c.width, 3 * c.width));
    auto const bias = c.bias ? builder.add<1>("in_proj_bias", {3 * c.width}, zeros()) : Parameter<1>();
    return Linear({.inputs = c.width, .outputs = 3 * c.width, .bias = c.bias}, weight, bias);
  }
};

namespace detail {

/// q, k and v of a matrix (C, C) each.
class SeparateProjections {
 public:
  template <class Ctx>
  struct Room {
    TensorOf<Ctx, 3> q, k, v;  // (B, N, C), (B, M, C) twice, contiguous
  };

  template <class Ctx>
  Room<Ctx> room(Ctx& ctx, Extents<3> const& n_x, Extents<3> const* n_memory) const {
    Extents<3> const& n = n_memory == nullptr ? n_x : *n_memory;
    auto const q = ctx.tensor(n_x), k = ctx.tensor(n);
    return {q, k, ctx.tensor(n)};
  }

  template <class Ctx>
  void project(Ctx& ctx, ConstTensorOf<Ctx, 3> x, ConstTensorOf<Ctx, 3> memory, Room<Ctx> const& to) const {
    q_.multiply(ctx, x.rows(), to.q.rows());
    k_.multiply(ctx, memory.rows(), to.k.rows());
    v_.multiply(ctx, memory.rows(), to.v.rows());
  }

  template <class Ctx>
  void pull_back(Ctx& ctx, ConstTensorOf<Ctx, 3> x, ConstTensorOf<Ctx, 3> memory, Room<Ctx> const& d,
                 TensorOf<Ctx, 3> d_x, TensorOf<Ctx, 3> d_memory) const {
    q_.add_gradients(ctx, x.rows(), d.q.rows());
    k_.add_gradients(ctx, memory.rows(), d.k.rows());
    v_.add_gradients(ctx, memory.rows(), d.v.rows());
    bool const is_self = d_memory.data() == nullptr;
    TensorOf<Ctx, 3> const& to = is_self ? d_x : d_memory;
    // forward: q = x W_q^T, k = m W_k^T, v = m W_v^T; hence d_x = d_q W_q and d_m = d_k W_k + d_v W_v, in turns
    auto const turn = ctx.tensor(to.extents());
    q_.pull_back(ctx, d.q.rows(), d_x.rows());
    if (is_self) {
      k_.pull_back(ctx, d.k.rows(), turn.rows(), adding(turn, d_x));
    } else {
      k_.pull_back(ctx, d.k.rows(), turn.rows());
    }
    v_.pull_back(ctx, d.v.rows(), to.rows(), adding(to, turn));
  }

  Linear const& out() const { return out_; }

  template <class Ctx>
  Linear::Ending<Ctx> finish(Ctx& ctx, ConstTensorOf<Ctx, 3> x, TensorOf<Ctx, 3> y, Dropout const& dropout,
                             Onto<Ctx> const& onto) const {
    return out_.finish(ctx, x, y, dropout, onto);
  }

 protected:
  SeparateProjections(Linear const& q, Linear const& k, Linear const& v, Linear const& out)
      : q_(q), k_(k), v_(v), out_(out) {}

 private:
  /// y += from, on the planes of both.
  template <class X>
  static auto adding(X const& y, X const& from) {
    auto const to = real_rows(y.rows()), source = real_rows(from.rows());
    using E = typename std::remove_cvref_t<decltype(to)>::Scalar;
    return AddMatrices<E>{to.data(), source.data(), to.data(), to.stride(0)};
  }

  Linear q_, k_, v_, out_;
};

}  // namespace detail

/// Those of timm's class attention: q, k, v and proj, each weight (C, C) and bias; what attends has its names beside
/// these.
class SeparateQkv : public detail::SeparateProjections {
 public:
  static constexpr char const* dropout_name = "proj_drop";

  template <class Core>
  SeparateQkv(Builder const& builder, ProjectionConfig const& c, Core const& core)
      : SeparateProjections{Linear(builder / "q", layer(c, c.bias)), Linear(builder / "k", layer(c, c.bias)),
                            Linear(builder / "v", layer(c, c.bias)), Linear(builder / "proj", layer(c, true))} {
    core(builder);
  }

 private:
  static Linear::Config layer(ProjectionConfig const& c, bool bias) {
    return {.inputs = c.width,
            .outputs = c.width,
            .bias = bias,
            .initial = c.initial.value_or(truncated_normal(0.02)),
            .initial_bias = c.initial_bias.value_or(zeros())};
  }
};

/// Those of the published code of Nystromformer: W_q, W_k, W_v and ff, each weight (C, C) and bias; what attends has
/// its names below "attn", before ff.
class ThreeMatrices : public detail::SeparateProjections {
 public:
  static constexpr char const* dropout_name = "ff_drop";

  template <class Core>
  ThreeMatrices(Builder const& builder, ProjectionConfig const& c, Core const& core)
      : SeparateProjections{Linear(builder / "W_q", layer(c, c.bias)), Linear(builder / "W_k", layer(c, c.bias)),
                            Linear(builder / "W_v", layer(c, c.bias)), behind(core, builder, c)} {}

 private:
  template <class Core>
  static Linear behind(Core const& core, Builder const& builder, ProjectionConfig const& c) {
    core(builder / "attn");
    return Linear(builder / "ff", layer(c, true));
  }

  static Linear::Config layer(ProjectionConfig const& c, bool bias) {
    auto const published = fan_in_uniform(c.width);
    return {.inputs = c.width,
            .outputs = c.width,
            .bias = bias,
            .initial = c.initial.value_or(published),
            .initial_bias = c.initial_bias.value_or(published)};
  }
};

}  // namespace attn::nn
