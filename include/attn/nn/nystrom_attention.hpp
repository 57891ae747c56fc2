/// NystromAttention: attention through landmarks, in time and memory linear in the length (Xiong et al. 2021).
///
///   out = a1(Q Kl^T) pinv(a2(Ql Kl^T)) a3(Ql K^T) V + convolution(V)
///
/// Ql and Kl are the means of Q and K over `landmarks` segments. The activations are softmax in the published form;
/// here each may be any. Evaluated from the right, both outer factors are calls of fused attention, so no matrix with
/// the length of the sequence as a side is stored.
#pragma once

#include "attn/activation/softmax.hpp"
#include "attn/nn/depthwise_convolution.hpp"
#include "attn/nn/detail/factor_activations.hpp"
#include "attn/nn/detail/landmarks.hpp"
#include "attn/nn/full_attention.hpp"
#include "attn/nn/pseudo_inverse.hpp"

#include <concepts>
#include <optional>
#include <utility>
#include <vector>

namespace attn::nn {

/// The core of an attention module: q, k, v (1, rows, C) of packed sequences -> (1, rows, C). To activations a sequence
/// has `tokens` positions, hidden ones included, which are rounded up to a multiple of the landmarks. The activation of
/// the module is that of the queries' factor.
///
/// Parameters: conv.weight (heads, 1, taps, 1), if there are taps, and the trained numbers of activations: one set,
/// `activation.<name>`, where the three factors have one activation; else `{queries,landmarks,keys}.activation.<name>`.
template <class A1, class A2 = A1, class A3 = A2>
class NystromAttention {
 public:
  using Activation = A1;

  struct Settings {
    Index landmarks = 64;
    Index taps = 35;  ///< of the convolution; 0: none
    PseudoInverse::Config pseudo_inverse = {.start = std::same_as<A2, Softmax> ? PseudoInverseStart::column_sum
                                                                               : PseudoInverseStart::norms};
    std::optional<A2> landmarks_activation = {};  ///< none: that of the module, if the types are the same
    std::optional<A3> keys_activation = {};
  };

  static constexpr bool takes_memory = false;

  template <class Ctx>
  using Call = PackedSequences<typename Ctx::MemorySpace>;

  template <class Ctx>
  struct Tape {
    int const* segments = nullptr;              // (B landmarks + 1)
    TensorOf<Ctx, 3> q_landmarks, k_landmarks;  // (1, B landmarks, C)
    TensorOf<Ctx, 4> unit, factor2, inverse;    // (B, H, landmarks, landmarks)
    TensorOf<Ctx, 3> gathered, mixed;           // a3(Ql K^T) V and pinv(...) times that: (1, B landmarks, C)
    TensorOf<Ctx, 3> attended;                  // (1, rows, C): without the convolution
    typename PseudoInverse::template Tape<Ctx> pseudo_inverse;
    detail::SavedIn<Ctx, A1> saved1;
    detail::SavedIn<Ctx, A2> saved2;
    detail::SavedIn<Ctx, A3> saved3;
  };

  NystromAttention(Builder const& builder, CoreConfig<A1> const& config, Settings const& settings)
      : config_(config),
        settings_(checked(config, settings)),
        activations_(builder, config.activation, value_or_default(settings.landmarks_activation, config.activation),
                     value_or_default(settings.keys_activation, config.activation), config.heads, config.tokens,
                     settings.landmarks, config.scale_per_head),
        pseudo_inverse_(settings.pseudo_inverse) {
    if (settings.taps > 0) {
      convolution_.emplace_back(
          builder / "conv", DepthwiseConvolution::Config{
                                .heads = config.heads, .width = config.width / config.heads, .taps = settings.taps});
    }
  }

  template <class Ctx, class X>
  Call<Ctx> call(Ctx& ctx, X const& x) const {
    static_assert(Real<typename Ctx::Scalar>, "NystromAttention: compute in a context of float or double");
    detail::call_mask(ctx, "NystromAttention::forward", Grouped{}, x.extent(0), x.extent(1), config_.tokens);
    return ctx.sequences.packed;
  }

  /// 8 rows landmarks C flops for the outer factors.
  template <class Ctx>
  Forward<TensorOf<Ctx, 3>, Tape<Ctx>> forward(Ctx& ctx, Call<Ctx> const& sequences, ConstTensorOf<Ctx, 3> q,
                                               ConstTensorOf<Ctx, 3> k, ConstTensorOf<Ctx, 3> v) const {
    ATTN_CHECK(convolution_.empty() || v.is_contiguous(),
               "NystromAttention::forward: project with attn::nn::ThreeMatrices, or switch the convolution off with "
               "taps = 0: it wants the values in rows of their own");
    Tape<Ctx> tape;
    tape.attended = ctx.tensor(q.extents());
    if (has_all_landmarks()) {
      tape.saved1 = detail::attend(ctx, activations_.first(), config_.heads, q, k, v, tape.attended, to_all(sequences));
    } else {
      attend(ctx, sequences, q, k, v, tape);
    }
    if (convolution_.empty()) return {tape.attended, tape};
    auto const y = convolution_[0].forward(ctx, sequences, v.rows(), tape.attended.rows());
    return {y.template reshape<3>(q.extents()), tape};
  }

  template <class Ctx>
  void backward(Ctx& ctx, Call<Ctx> const& sequences, Tape<Ctx>&& tape, ConstTensorOf<Ctx, 3> q,
                ConstTensorOf<Ctx, 3> k, ConstTensorOf<Ctx, 3> v, ConstTensorOf<Ctx, 3> /*y*/,
                ConstTensorOf<Ctx, 3> d_y, TensorOf<Ctx, 3> d_q, TensorOf<Ctx, 3> d_k, TensorOf<Ctx, 3> d_v) const {
    typename Workspace<typename Ctx::MemorySpace>::Scope const scope(ctx.workspace);
    if (has_all_landmarks()) {
      detail::attend_backward(ctx, activations_.first(), config_.heads, q, k, v, ConstTensorOf<Ctx, 3>(tape.attended),
                              tape.saved1, d_y, d_q, d_k, d_v, to_all(sequences));
    } else {
      gradients(ctx, sequences, q, k, v, tape, d_y, d_q, d_k, d_v);
    }
    if (!convolution_.empty()) convolution_[0].backward_add(ctx, sequences, v.rows(), d_y.rows(), d_v.rows());
  }

 private:
  bool has_all_landmarks() const { return settings_.landmarks == config_.tokens; }
  Index segment_length() const { return (config_.tokens + settings_.landmarks - 1) / settings_.landmarks; }

  static Settings const& checked(CoreConfig<A1> const& c, Settings const& s) {
    ATTN_CHECK(s.landmarks > 0 && s.landmarks <= c.tokens, "NystromAttention: give from 1 to ", c.tokens,
               " landmarks, as many as positions, got ", s.landmarks);
    return s;
  }

  template <class A>
  static A value_or_default(std::optional<A> const& given, A1 const& activation) {
    if constexpr (std::same_as<A, A1>) {
      return given.value_or(activation);
    } else {
      return given.value_or(A{});
    }
  }

  /// Landmarks (1, B landmarks, C) as sequences: (B, H, landmarks, C / H).
  template <class T, class Memory>
  Tensor<T, 4, Memory> batched(Tensor<T, 3, Memory> const& x) const {
    Index const m = settings_.landmarks, width = config_.width / config_.heads;
    return {x.data(), {x.extent(1) / m, config_.heads, m, width}, {m * x.stride(1), width, x.stride(1), 1}};
  }

  template <class Sequences>
  AttentionOptions<Grouped> to_all(Sequences const& sequences) const {
    return {.mask = rows_to_rows(sequences, config_.tokens)};
  }
  template <class Sequences>
  AttentionOptions<Grouped> to_landmarks(Sequences const& sequences) const {
    return {.mask = rows_to_landmarks(sequences, settings_.landmarks)};
  }
  template <class Sequences>
  AttentionOptions<Grouped> to_rows(Sequences const& sequences) const {
    return {.mask = landmarks_to_rows(sequences, settings_.landmarks, config_.tokens)};
  }

  template <class Ctx>
  void attend(Ctx& ctx, Call<Ctx> const& sequences, ConstTensorOf<Ctx, 3> q, ConstTensorOf<Ctx, 3> k,
              ConstTensorOf<Ctx, 3> v, Tape<Ctx>& tape) const {
    using T = typename Ctx::Scalar;
    using Const = ConstTensorOf<Ctx, 3>;
    Index const batch = sequences.batch(), m = settings_.landmarks, c = config_.width, h = config_.heads;
    typename Ctx::Scratch const scratch(ctx);

    int* const segments = ctx.template tensor<int>(batch * m + 1).data();
    tape.segments = segments;
    attn::launch("attn::NystromAttention::segments",
                 Kokkos::RangePolicy<typename Ctx::Space, Kokkos::IndexType<Index>>(ctx.exec, 0, batch * m + 1),
                 detail::FindSegments<typename Ctx::MemorySpace>{sequences, segments, m, segment_length()});
    auto const landmarks = [&] { return ctx.tensor(Index(1), batch * m, c); };
    auto const means = [&](Const const& x) {
      auto const to = landmarks();
      elementwise<T>(ctx.exec, "attn::NystromAttention::landmarks", batch * m, c,
                     detail::SegmentMeans<T>{x.data(), to.data(), segments, c, x.stride(1), segment_length()});
      return to;
    };
    tape.q_landmarks = means(q);
    tape.k_landmarks = means(k);

    // The weights themselves are what attention makes of values that are the unit matrix.
    auto const unit = ctx.tensor(Index(1), Index(1), m, m);
    detail::unit_plus(ctx.exec, T(1), T(0), static_cast<T const*>(nullptr), unit);
    tape.unit = {unit.data(), {batch, h, m, m}, {0, 0, m, 1}};
    tape.factor2 = ctx.tensor(batch, h, m, m);
    using Const4 = ConstTensorOf<Ctx, 4>;
    AttentionOptions<Grouped> const among_landmarks{.mask = landmarks_to_landmarks(m)};
    tape.saved2 = detail::attend(ctx, activations_.second(), Const4(batched(tape.q_landmarks)),
                                 Const4(batched(tape.k_landmarks)), Const4(tape.unit), tape.factor2, among_landmarks);
    auto [inverse, pseudo_inverse] = pseudo_inverse_.forward(ctx, tape.factor2);
    tape.inverse = inverse;
    tape.pseudo_inverse = std::move(pseudo_inverse);

    tape.gathered = landmarks();
    tape.saved3 =
        detail::attend(ctx, activations_.third(), h, Const(tape.q_landmarks), k, v, tape.gathered, to_rows(sequences));
    tape.mixed = landmarks();
    detail::multiply(ctx.exec, T(1), tape.inverse, batched(tape.gathered), T(0), batched(tape.mixed));
    tape.saved1 = detail::attend(ctx, activations_.first(), h, q, Const(tape.k_landmarks), Const(tape.mixed),
                                 tape.attended, to_landmarks(sequences));
  }

  template <class Ctx>
  void gradients(Ctx& ctx, Call<Ctx> const& sequences, ConstTensorOf<Ctx, 3> q, ConstTensorOf<Ctx, 3> k,
                 ConstTensorOf<Ctx, 3> v, Tape<Ctx>& tape, ConstTensorOf<Ctx, 3> d_y, TensorOf<Ctx, 3> d_q,
                 TensorOf<Ctx, 3> d_k, TensorOf<Ctx, 3> d_v) const {
    using T = typename Ctx::Scalar;
    using Const = ConstTensorOf<Ctx, 3>;
    Index const c = config_.width, h = config_.heads;
    auto const like = [&](auto const& x) { return ctx.tensor(x.extents()); };
    TensorOf<Ctx, 3> const d_mixed = like(tape.mixed), d_gathered = like(tape.mixed);
    TensorOf<Ctx, 3> const d_q_landmarks = like(tape.mixed), d_k_landmarks = like(tape.mixed);
    TensorOf<Ctx, 3> const also_q = like(tape.mixed), also_k = like(tape.mixed);

    // forward: attended = a1(Q Kl^T) mixed
    detail::attend_backward(ctx, activations_.first(), h, q, Const(tape.k_landmarks), Const(tape.mixed),
                            Const(tape.attended), tape.saved1, d_y, d_q, d_k_landmarks, d_mixed,
                            to_landmarks(sequences));
    // forward: mixed = inverse gathered
    auto const d_inverse = like(tape.inverse);
    detail::multiply(ctx.exec, T(1), batched(d_mixed), batched(tape.gathered).transpose(2, 3), T(0), d_inverse);
    detail::multiply(ctx.exec, T(1), tape.inverse.transpose(2, 3), batched(d_mixed), T(0), batched(d_gathered));
    auto const d_factor2 = pseudo_inverse_.backward(ctx, std::move(tape.pseudo_inverse), d_inverse);
    auto const d_unit = d_inverse;  // nobody wants the gradient of the unit matrix; d_inverse has been used
    activations_.second().bind_gradients(ctx, [&](auto const& a2) {
      using Const4 = ConstTensorOf<Ctx, 4>;
      attn::attention_backward(ctx.exec, a2, Const4(batched(tape.q_landmarks)), Const4(batched(tape.k_landmarks)),
                               Const4(tape.unit), Const4(tape.factor2), tape.saved2, Const4(d_factor2),
                               batched(d_q_landmarks), batched(also_k), d_unit,
                               AttentionOptions<Grouped>{.mask = landmarks_to_landmarks(settings_.landmarks)});
    });
    // forward: gathered = a3(Ql K^T) V
    detail::attend_backward(ctx, activations_.third(), h, Const(tape.q_landmarks), k, v, Const(tape.gathered),
                            tape.saved3, Const(d_gathered), also_q, d_k, d_v, to_rows(sequences));
    auto const spread = [&](TensorOf<Ctx, 3> const& d_means, TensorOf<Ctx, 3> const& also, TensorOf<Ctx, 3> const& d) {
      elementwise<T>(ctx.exec, "attn::NystromAttention::spread", d_means.extent(1), c,
                     detail::SpreadToSegments<T>{d_means.data(), also.data(), d.data(), tape.segments, c, d.stride(1),
                                                 segment_length()});
    };
    spread(d_q_landmarks, also_q, d_q);
    spread(d_k_landmarks, also_k, d_k);
  }

  CoreConfig<A1> config_;
  Settings settings_;
  detail::FactorActivations<A1, A2, A3> activations_;
  PseudoInverse pseudo_inverse_;
  std::vector<DepthwiseConvolution> convolution_;  // one or none
};

}  // namespace attn::nn
