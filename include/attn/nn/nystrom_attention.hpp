/// NystromAttention: attention through landmarks, in time and memory linear in the length (Xiong et al. 2021).
///
///   out = a1(Q Kl^T) pinv(a2(Ql Kl^T)) a3(Ql K^T) V + convolution(V)
///
/// Ql and Kl are the means of Q and K over `landmarks` segments. The activations are softmax in the published form;
/// here each may be any. Evaluated from the right, both outer factors are calls of fused attention, so no matrix with
/// the length of the sequence as a side is stored.
#pragma once

#include "attn/activation/softmax.hpp"
#include "attn/attention/attention.hpp"
#include "attn/nn/depthwise_convolution.hpp"
#include "attn/nn/detail/landmarks.hpp"
#include "attn/nn/detail/module_activation.hpp"
#include "attn/nn/pseudo_inverse.hpp"
#include "attn/nn/sequence_attention.hpp"

#include <concepts>
#include <utility>
#include <vector>

namespace attn::nn {

namespace detail {

/// The activations of the three factors, and their trained numbers. Where all are of one type they share one set of
/// numbers, unless `separate`: with c in front of every factor, out depends on c1 c3 / c2 alone.
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
template <class A>
class FactorActivations<A, A, A> {
 public:
  FactorActivations(Builder const& builder, A const& a, A const&, A const&, Index heads, Index length,
                    Index /*landmarks*/, bool per_head)
      : shared_(builder, a, heads, length, per_head) {}
  auto const& first() const { return shared_; }
  auto const& second() const { return shared_; }
  auto const& third() const { return shared_; }

 private:
  ModuleActivation<A> shared_;
};
/// Chosen at run time: whether they are of one type is known when they are given.
template <ErasedActivation A>
class FactorActivations<A, A, A> {
 public:
  FactorActivations(Builder const& builder, A const& a1, A const& a2, A const& a3, Index heads, Index length,
                    Index landmarks, bool per_head) {
    if (a1.holds_same_type(a2) && a1.holds_same_type(a3)) {
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
  std::vector<ModuleActivation<A>> each_;  // three, or one for all
};

}  // namespace detail

/// The core of an attention layer: q, k, v (rows, C) of packed sequences -> (rows, C). C is heads x width of a head.
/// Parameters: conv.weight (heads, 1, taps, 1), if there are taps, and the trained numbers of activations: one set,
/// activation.<name>, where the three factors have one activation; else {queries,landmarks,keys}.activation.<name>.
template <class A1, class A2 = A1, class A3 = A2>
class NystromAttention {
 public:
  using Activation = A1;

  struct Config {
    Index width = 0;  ///< C
    Index heads = 1;
    Index length = 1;  ///< positions of a sequence; rounded up to a multiple of the landmarks
    Index landmarks = 64;
    Index taps = 35;  ///< of the convolution; 0: none
    PseudoInverse::Config pseudo_inverse = {.start = std::same_as<A2, Softmax> ? PseudoInverseStart::column_sum
                                                                               : PseudoInverseStart::norms};
    A1 queries_activation = {};
    A2 landmarks_activation = {};
    A3 keys_activation = {};
    bool scale_per_head = false;
  };

  template <class Ctx>
  struct Tape {
    template <class A>
    using SavedOf = attn::Saved<detail::BoundIn<Ctx, A>, typename Ctx::Scalar, typename Ctx::MemorySpace>;

    PackedSequences<typename Ctx::MemorySpace> sequences;
    ConstTensorOf<Ctx, 2> q, k, v;
    detail::OwnSequenceTape<A1, Ctx> full;  // where there is a landmark for each position

    int const* segments = nullptr;              // (B landmarks + 1)
    TensorOf<Ctx, 2> q_landmarks, k_landmarks;  // (B landmarks, C)
    TensorOf<Ctx, 4> unit, factor2, inverse;    // (B, H, landmarks, landmarks)
    TensorOf<Ctx, 2> gathered, mixed;           // a3(Ql K^T) V and pinv(...) times that: (B landmarks, C)
    TensorOf<Ctx, 2> attended;                  // (rows, C)
    typename PseudoInverse::template Tape<Ctx> pseudo_inverse;
    SavedOf<A1> saved1;
    SavedOf<A2> saved2;
    SavedOf<A3> saved3;
  };

  NystromAttention(Builder const& builder, Config const& config)
      : config_(checked(config)),
        activations_(builder, config.queries_activation, config.landmarks_activation, config.keys_activation,
                     config.heads, config.length, config.landmarks, config.scale_per_head),
        pseudo_inverse_(config.pseudo_inverse) {
    if (config.taps > 0) {
      convolution_.emplace_back(builder / "conv",
                                DepthwiseConvolution::Config{
                                    .heads = config.heads, .width = config.width / config.heads, .taps = config.taps});
    }
  }

  /// 8 rows landmarks C flops for the outer factors.
  template <class Ctx>
  Forward<TensorOf<Ctx, 2>, Tape<Ctx>> forward(Ctx& ctx, PackedSequences<typename Ctx::MemorySpace> const& sequences,
                                               ConstTensorOf<Ctx, 2> q, ConstTensorOf<Ctx, 2> k,
                                               ConstTensorOf<Ctx, 2> v) const {
    detail::check_sequences("NystromAttention::forward", sequences, config_.length, config_.width, q, k, v);
    Tape<Ctx> tape;
    tape.sequences = sequences;
    tape.q = q, tape.k = k, tape.v = v;
    if (has_all_landmarks()) {
      tape.full = detail::attend_to_own_sequence<A1>(ctx, activations_.first(), sequences, config_.heads,
                                                     config_.length, q, k, v);
      tape.attended = tape.full.attended;
    } else {
      attend(ctx, tape);
    }
    if (convolution_.empty()) return {tape.attended, tape};
    return {convolution_[0].forward(ctx, sequences, v, tape.attended), tape};
  }

  /// The gradients of q, k and v are overwritten.
  template <class Ctx>
  void backward(Ctx& ctx, Tape<Ctx>&& tape, ConstTensorOf<Ctx, 2> d_y, TensorOf<Ctx, 2> d_q, TensorOf<Ctx, 2> d_k,
                TensorOf<Ctx, 2> d_v) const {
    detail::check_tape("NystromAttention::backward", tape.attended);
    typename Workspace<typename Ctx::MemorySpace>::Scope const scope(ctx.workspace);
    if (has_all_landmarks()) {
      detail::own_sequence_gradients(ctx, activations_.first(), tape.sequences, config_.heads, config_.length, tape.q,
                                     tape.k, tape.v, tape.full, d_y, d_q, d_k, d_v);
    } else {
      gradients(ctx, tape, d_y, d_q, d_k, d_v);
    }
    if (!convolution_.empty()) convolution_[0].backward_add(ctx, tape.sequences, tape.v, d_y, d_v);
  }

  Config const& config() const { return config_; }

 private:
  bool has_all_landmarks() const { return config_.landmarks == config_.length; }
  Index segment_length() const { return (config_.length + config_.landmarks - 1) / config_.landmarks; }

  static Config const& checked(Config const& c) {
    ATTN_CHECK(c.width > 0 && c.heads > 0 && c.width % c.heads == 0,
               "NystromAttention: make the width a multiple of the heads, got width ", c.width, " and ", c.heads,
               " heads");
    ATTN_CHECK(c.landmarks > 0 && c.landmarks <= c.length, "NystromAttention: give from 1 to ", c.length,
               " landmarks, as many as positions, got ", c.landmarks);
    return c;
  }

  /// Packed (rows, C) as one sequence: (1, H, rows, C / H). Landmarks (B landmarks, C) too.
  template <class X>
  auto read(X const& x) const {
    return detail::heads_to_read(x, config_.heads);
  }
  template <class X>
  auto write(X const& x) const {
    return detail::heads_to_write(x, config_.heads);
  }
  /// Landmarks (B landmarks, C) as sequences: (B, H, landmarks, C / H).
  template <class T, class Memory>
  Tensor<T, 4, Memory> batched(Tensor<T, 2, Memory> const& x) const {
    Index const m = config_.landmarks, width = config_.width / config_.heads;
    return {x.data(), {x.extent(0) / m, config_.heads, m, width}, {m * x.stride(0), width, x.stride(0), 1}};
  }

  template <class Ctx>
  AttentionOptions<Grouped> to_landmarks(Tape<Ctx> const& tape) const {
    return {.mask = rows_to_landmarks(tape.sequences, config_.landmarks)};
  }
  template <class Ctx>
  AttentionOptions<Grouped> to_rows(Tape<Ctx> const& tape) const {
    return {.mask = landmarks_to_rows(tape.sequences, config_.landmarks, config_.length)};
  }

  template <class Ctx>
  void attend(Ctx& ctx, Tape<Ctx>& tape) const {
    using T = typename Ctx::Scalar;
    using Memory = typename Ctx::MemorySpace;
    Index const batch = tape.sequences.batch(), m = config_.landmarks, c = config_.width, h = config_.heads;
    tape.attended = ctx.tensor(tape.q.extents());
    typename Ctx::Scratch const scratch(ctx);

    int* const segments = ctx.template tensor<int>(batch * m + 1).data();
    tape.segments = segments;
    Kokkos::parallel_for("attn::NystromAttention::segments",
                         Kokkos::RangePolicy<typename Ctx::Space, Kokkos::IndexType<Index>>(ctx.exec, 0, batch * m + 1),
                         detail::FindSegments<Memory>{tape.sequences, segments, m, segment_length()});
    auto const means = [&](ConstTensorOf<Ctx, 2> const& x) {
      auto const to = ctx.tensor(batch * m, c);
      elementwise<T>(ctx.exec, "attn::NystromAttention::landmarks", batch * m, c,
                     detail::SegmentMeans<T>{x.data(), to.data(), segments, c, segment_length()});
      return to;
    };
    tape.q_landmarks = means(tape.q);
    tape.k_landmarks = means(tape.k);

    // The weights themselves are what attention makes of values that are the unit matrix.
    auto const unit = ctx.tensor(Index(1), Index(1), m, m);
    detail::unit_plus(ctx.exec, T(1), T(0), static_cast<T const*>(nullptr), unit);
    tape.unit = {unit.data(), {batch, h, m, m}, {0, 0, m, 1}};
    tape.factor2 = ctx.tensor(batch, h, m, m);
    auto const a2 = activations_.second().bind(ctx);
    tape.saved2 = typename Tape<Ctx>::template SavedOf<A2>(ctx.workspace, a2, batch, h, m);
    using Const = ConstTensorOf<Ctx, 4>;
    AttentionOptions<Grouped> const among_landmarks{.mask = landmarks_to_landmarks(m)};
    attn::attention(ctx.exec, a2, Const(batched(tape.q_landmarks)), Const(batched(tape.k_landmarks)), Const(tape.unit),
                    tape.factor2, tape.saved2, among_landmarks);
    auto [inverse, pseudo_inverse] = pseudo_inverse_.forward(ctx, tape.factor2);
    tape.inverse = inverse;
    tape.pseudo_inverse = std::move(pseudo_inverse);

    tape.gathered = ctx.tensor(batch * m, c);
    auto const a3 = activations_.third().bind(ctx);
    tape.saved3 = typename Tape<Ctx>::template SavedOf<A3>(ctx.workspace, a3, 1, h, batch * m);
    attn::attention(ctx.exec, a3, read(tape.q_landmarks), read(tape.k), read(tape.v), write(tape.gathered), tape.saved3,
                    to_rows(tape));
    tape.mixed = ctx.tensor(batch * m, c);
    detail::multiply(ctx.exec, T(1), tape.inverse, batched(tape.gathered), T(0), batched(tape.mixed));
    auto const a1 = activations_.first().bind(ctx);
    tape.saved1 = typename Tape<Ctx>::template SavedOf<A1>(ctx.workspace, a1, 1, h, tape.q.extent(0));
    attn::attention(ctx.exec, a1, read(tape.q), read(tape.k_landmarks), read(tape.mixed), write(tape.attended),
                    tape.saved1, to_landmarks(tape));
  }

  template <class Ctx>
  void gradients(Ctx& ctx, Tape<Ctx>& tape, ConstTensorOf<Ctx, 2> d_y, TensorOf<Ctx, 2> d_q, TensorOf<Ctx, 2> d_k,
                 TensorOf<Ctx, 2> d_v) const {
    using T = typename Ctx::Scalar;
    Index const c = config_.width;
    auto const like = [&](auto const& x) { return ctx.tensor(x.extents()); };
    TensorOf<Ctx, 2> const d_mixed = like(tape.mixed), d_gathered = like(tape.mixed);
    TensorOf<Ctx, 2> const d_q_landmarks = like(tape.mixed), d_k_landmarks = like(tape.mixed);
    TensorOf<Ctx, 2> const also_q = like(tape.mixed), also_k = like(tape.mixed);

    // forward: attended = a1(Q Kl^T) mixed
    activations_.first().bind_gradients(ctx, [&](auto const& a1) {
      attn::attention_backward(ctx.exec, a1, read(tape.q), read(tape.k_landmarks), read(tape.mixed),
                               read(tape.attended), tape.saved1, read(d_y), write(d_q), write(d_k_landmarks),
                               write(d_mixed), to_landmarks(tape));
    });
    // forward: mixed = inverse gathered
    auto const d_inverse = like(tape.inverse);
    detail::multiply(ctx.exec, T(1), batched(d_mixed), batched(tape.gathered).transpose(2, 3), T(0), d_inverse);
    detail::multiply(ctx.exec, T(1), tape.inverse.transpose(2, 3), batched(d_mixed), T(0), batched(d_gathered));
    auto const d_factor2 = pseudo_inverse_.backward(ctx, std::move(tape.pseudo_inverse), d_inverse);
    auto const d_unit = d_inverse;  // nobody wants the gradient of the unit matrix; d_inverse has been used
    activations_.second().bind_gradients(ctx, [&](auto const& a2) {
      using Const = ConstTensorOf<Ctx, 4>;
      attn::attention_backward(ctx.exec, a2, Const(batched(tape.q_landmarks)), Const(batched(tape.k_landmarks)),
                               Const(tape.unit), Const(tape.factor2), tape.saved2, Const(d_factor2),
                               batched(d_q_landmarks), batched(also_k), d_unit,
                               AttentionOptions<Grouped>{.mask = landmarks_to_landmarks(config_.landmarks)});
    });
    // forward: gathered = a3(Ql K^T) V
    activations_.third().bind_gradients(ctx, [&](auto const& a3) {
      attn::attention_backward(ctx.exec, a3, read(tape.q_landmarks), read(tape.k), read(tape.v), read(tape.gathered),
                               tape.saved3, read(d_gathered), write(also_q), write(d_k), write(d_v), to_rows(tape));
    });
    auto const spread = [&](TensorOf<Ctx, 2> const& d_means, TensorOf<Ctx, 2> const& also, TensorOf<Ctx, 2> const& d) {
      elementwise<T>(
          ctx.exec, "attn::NystromAttention::spread", d_means.extent(0), c,
          detail::SpreadToSegments<T>{d_means.data(), also.data(), d.data(), tape.segments, c, segment_length()});
    };
    spread(d_q_landmarks, also_q, d_q);
    spread(d_k_landmarks, also_k, d_k);
  }

  Config config_;
  detail::FactorActivations<A1, A2, A3> activations_;
  PseudoInverse pseudo_inverse_;
  std::vector<DepthwiseConvolution> convolution_;  // one or none
};

}  // namespace attn::nn
