/// Stack: many modules of one type, one after the other.
#pragma once

#include "attn/nn/module.hpp"

#include <vector>

namespace attn::nn {

namespace detail {

/// What goes through a stack, to read and of its own memory: a tensor, or the pair of a decoder.
template <class Ctx, class X>
struct Through {
  using Read = ConstLike<Ctx, X>;
  using Own = Like<Ctx, X>;
  static Own room(Ctx& ctx, X const& x) { return ctx.tensor(x.extents()); }
};
template <class Ctx, class T, class Memory>
struct Through<Ctx, Cross<T, Memory>> {
  using Read = ConstCrossOf<Ctx>;
  using Own = CrossOf<Ctx>;
  static Own room(Ctx& ctx, Read const& x) { return {ctx.tensor(x.x.extents()), ctx.tensor(x.memory.extents())}; }
};

}  // namespace detail

/// y = f_n(... f_1(x)), where all f_i are of type `M` and keep the shape; x is a tensor, or the pair of a
/// `DecoderBlock`. Temporaries of one layer are given back before the next runs: in the backward pass, and in
/// evaluation in the forward pass as well.
template <class M>
class Stack {
 public:
  template <class MTape>
  struct Tape {
    std::vector<MTape> layers;
  };

  Stack() = default;
  explicit Stack(std::vector<M> layers) : layers_(std::move(layers)) {}

  /// `depth` layers of one configuration at builder / 0, builder / 1, ...
  template <class Layer = M, class Config = typename Layer::Config>
  Stack(Builder const& builder, int depth, Config const& config) {
    for (int i = 0; i < depth; ++i) layers_.emplace_back(builder / i, config);
  }

  template <class Ctx, class X>
  auto forward(Ctx& ctx, X const& x) const {
    using Through = detail::Through<Ctx, X>;
    using Input = typename Through::Read;
    check_module_concept<M, Ctx, Input>();
    Tape<TapeOf<M, Ctx, Input>> tape;
    if (ctx.keeps_tape() && !layers_.empty()) {
      tape.layers.reserve(layers_.size());
      Input at = x;
      for (auto const& layer : layers_) {
        auto [y, layer_tape] = layer.forward(ctx, at);
        tape.layers.push_back(std::move(layer_tape));
        at = y;
      }
      return Forward<Input, decltype(tape)>{at, std::move(tape)};
    }
    auto const kept = Through::room(ctx, x);
    copy(ctx, Input(x), kept);
    for (auto const& layer : layers_) {
      typename Workspace<typename Ctx::MemorySpace>::Scope const scope(ctx.workspace);
      copy(ctx, Input(layer.forward(ctx, Input(kept)).value), kept);
    }
    return Forward<Input, decltype(tape)>{kept, std::move(tape)};
  }

  template <class Ctx, class MTape, class D>
  auto backward(Ctx& ctx, Tape<MTape>&& tape, D const& d_y) const {
    auto const d = detail::Through<Ctx, D>::room(ctx, d_y);
    copy(ctx, typename detail::Through<Ctx, D>::Read(d_y), d);
    return backward_in_place(ctx, std::move(tape), d);
  }

  /// Turns the gradient of y into that of x.
  template <class Ctx, class MTape, class D>
  D backward_in_place(Ctx& ctx, Tape<MTape>&& tape, D const& d) const {
    ATTN_CHECK(tape.layers.size() == layers_.size(),
               "Stack::backward: run forward with ctx.training or ctx.keep_tape switched on, and use each tape once");
    for (std::size_t i = layers_.size(); i-- > 0;) {
      typename Workspace<typename Ctx::MemorySpace>::Scope const scope(ctx.workspace);
      if constexpr (requires { layers_[i].backward_in_place(ctx, std::move(tape.layers[i]), d); }) {
        layers_[i].backward_in_place(ctx, std::move(tape.layers[i]), d);
      } else {
        copy(ctx, typename detail::Through<Ctx, D>::Read(layers_[i].backward(ctx, std::move(tape.layers[i]), d)), d);
      }
    }
    tape.layers.clear();
    return d;
  }

  std::vector<M> const& layers() const { return layers_; }
  std::vector<M>& layers() { return layers_; }

 private:
  template <class Ctx, class From, class To>
  static void copy(Ctx& ctx, From const& from, To const& to) {
    ATTN_CHECK(from.extents() == to.extents(), "Stack: give layers whose output has the shape of their input");
    if (from.data() == to.data() || to.size() == 0) return;
    Kokkos::deep_copy(ctx.exec, to.template reshape<1>({to.size()}).view(),
                      from.template reshape<1>({from.size()}).view());
  }
  template <class Ctx, class T, class U, class Memory>
  static void copy(Ctx& ctx, Cross<T, Memory> const& from, Cross<U, Memory> const& to) {
    copy(ctx, from.x, to.x);
    copy(ctx, from.memory, to.memory);
  }

  std::vector<M> layers_;
};

}  // namespace attn::nn
