/// WindowAttention: attention within the windows of a feature map, with a bias for each relative position (Liu et al.
/// 2021, Swin).
#pragma once

#include "attn/attention/any_activation.hpp"
#include "attn/nn/attention.hpp"
#include "attn/nn/detail/windows.hpp"
#include "attn/nn/feature_maps.hpp"

namespace attn::nn {

/// The core of an attention module on feature maps (B, H, W, C), which end in pixels of zeros where windows would not:
///
///     using Swin = attn::nn::Attention<attn::nn::FusedQkv, attn::nn::WindowAttention<attn::Softmax>>;
///     Swin const shifted(ctx / "attn", {.width = 96, .heads = 3, .core = {.window = 7, .shift = 3}});
///
/// s_ij = q_i.k_j / sqrt(D) + table(p_i - p_j, head), for the keys j of the query's window; of a shifted window, for
/// those that were neighbours before the shift. To the activation, a row has as many keys as a window has pixels.
/// Parameter: relative_position_bias_table ((2 window - 1) (2 window - 1), heads), and trained numbers of the
/// activation. Pixels are copied into windows before the projections and back behind attention: 2 C numbers a pixel.
template <class A>
class WindowAttention {
 public:
  using Activation = A;

  struct Settings {
    Size2 window = 7;
    Size2 shift = 0;   ///< below the window; a side with one window is not shifted
    Index tokens = 0;  ///< keys that an activation's trained numbers are initialised for; 0: those of a window
  };

  static constexpr bool takes_memory = false;

  template <class Ctx>
  using Call = WindowGrid;

  template <class Ctx>
  struct Tape {
    TensorOf<Ctx, 3> attended;  // (B windows, N, C)
    detail::SavedIn<Ctx, A> saved;
    Tensor<typename Ctx::Real, 4, typename Ctx::MemorySpace> bias;  // (1 or windows, H, N, N)
    int *codes = nullptr, *ranks = nullptr;                         // (kinds, N)
  };

  WindowAttention(Builder const& builder, CoreConfig<A> const& config, Settings const& settings)
      : config_(sized(config, settings)),
        settings_(settings),
        table_(builder.add<2>(
            "relative_position_bias_table",
            {(2 * settings.window.height - 1) * (2 * settings.window.width - 1), config.heads}, truncated_normal(0.02),
            {.decays = false, .adapts = RelativePositions{settings.window.height, settings.window.width}})),
        activation_(detail::module_activation(builder, config_)) {}

  template <class Ctx, class X>
  WindowGrid call(Ctx& ctx, X const& x) const {
    static_assert(X::rank == 4, "WindowAttention: give a feature map (B, H, W, C)");
    static_assert(Real<AccumulatorOf<typename Ctx::Scalar>>,
                  "WindowAttention: compute with reals; its bias takes no jets");
    detail::refuse_sequences(ctx, "WindowAttention::forward");
    Size2 const window = settings_.window, map = map_size(x);
    return {.height = static_cast<int>(map.height),
            .width = static_cast<int>(map.width),
            .window_height = static_cast<int>(window.height),
            .window_width = static_cast<int>(window.width),
            .shift_y = static_cast<int>(map.height > window.height ? settings_.shift.height : 0),
            .shift_x = static_cast<int>(map.width > window.width ? settings_.shift.width : 0)};
  }

  /// Pixels (B, H W, C) -> (B windows, N, C).
  template <class Ctx>
  ConstTensorOf<Ctx, 3> arrange(Ctx& ctx, WindowGrid const& grid, ConstTensorOf<Ctx, 3> x) const {
    auto const to = ctx.tensor(x.extent(0) * grid.windows(), Index(grid.tokens()), x.extent(2));
    move(ctx, grid, x, to, to.extent(0), false);
    return to;
  }
  /// And back.
  template <class Ctx>
  void restore(Ctx& ctx, WindowGrid const& grid, ConstTensorOf<Ctx, 3> x, TensorOf<Ctx, 3> to) const {
    move(ctx, grid, x, to, x.extent(0), true);
  }

  /// 4 B H W N C flops.
  template <class Ctx>
  Forward<TensorOf<Ctx, 3>, Tape<Ctx>> forward(Ctx& ctx, WindowGrid const& grid, ConstTensorOf<Ctx, 3> q,
                                               ConstTensorOf<Ctx, 3> k, ConstTensorOf<Ctx, 3> v) const {
    Tape<Ctx> tape;
    tape.attended = ctx.tensor(q.extents());
    make_bias(ctx, grid, tape);
    tape.saved = detail::attend(ctx, activation_, config_.heads, q, k, v, tape.attended, options<Ctx>(grid, tape.bias));
    return {tape.attended, tape};
  }

  template <class Ctx>
  void backward(Ctx& ctx, WindowGrid const& grid, Tape<Ctx> const& tape, ConstTensorOf<Ctx, 3> q,
                ConstTensorOf<Ctx, 3> k, ConstTensorOf<Ctx, 3> v, ConstTensorOf<Ctx, 3> /*y, of pixels*/,
                ConstTensorOf<Ctx, 3> d_y, TensorOf<Ctx, 3> d_q, TensorOf<Ctx, 3> d_k, TensorOf<Ctx, 3> d_v) const {
    using R = typename Ctx::Real;
    typename Workspace<typename Ctx::MemorySpace>::Scope const scope(ctx.workspace);
    Index const n = grid.tokens(), h = config_.heads, kinds = grid.kinds();
    auto const d_bias = ctx.template tensor<R>(kept_apart<Ctx>(tape.bias.extent(0), q.extent(0)), h, n, n);
    Kokkos::deep_copy(ctx.exec, d_bias.template reshape<1>({d_bias.size()}).view(), R(0));
    detail::attend_backward(ctx, activation_, h, q, k, v, ConstTensorOf<Ctx, 3>(tape.attended), tape.saved, d_y, d_q,
                            d_k, d_v, options<Ctx>(grid, tape.bias, d_bias));
    auto sums = d_bias;
    if (d_bias.extent(0) > 1) {
      sums = ctx.template tensor<R>(kinds, h, n, n);
      elementwise<R>(ctx.exec, "attn::WindowAttention::sum", kinds * h * n, n,
                     detail::SumWindows<R>{grid, d_bias.data(), sums.data(), h, d_bias.extent(0)});
    }
    attn::launch("attn::WindowAttention::table", range(ctx, table_.shape[0] * h),
                 detail::ScatterBias<R>{grid, sums.data(), tape.ranks, ctx.parameters.gradient(table_).data(), h});
  }

  /// As those of `FullAttention`, with a window of an image for a sample: (B windows, H).
  template <class Ctx>
  auto norms(Ctx& ctx, WindowGrid const& grid, ConstTensorOf<Ctx, 3> q, ConstTensorOf<Ctx, 3> k,
             ConstTensorOf<Ctx, 3> v) const {
    using R = typename Ctx::Real;
    using Norms = AttentionNorms<R, typename Ctx::MemorySpace>;
    Norms const norms{ctx.template tensor<R>(q.extent(0), config_.heads),
                      ctx.template tensor<R>(q.extent(0), config_.heads)};
    typename Workspace<typename Ctx::MemorySpace>::Scope const scope(ctx.workspace);
    Tape<Ctx> tape;
    make_bias(ctx, grid, tape);
    auto const y = ctx.tensor(q.extents());
    detail::attend(ctx, activation_, config_.heads, q, k, v, y, options<Ctx>(grid, tape.bias, {}, norms));
    return norms;
  }
  /// The attention matrices of one window of all: (H, N, N), query by key, pixels in rows of the window; of a shifted
  /// window, in rows of the shifted map. Pixels that do not see one another have a weight of zero.
  template <class Ctx>
  TensorOf<Ctx, 3> weights(Ctx& ctx, WindowGrid const& grid, ConstTensorOf<Ctx, 3> q, ConstTensorOf<Ctx, 3> k,
                           Index window) const {
    using T = typename Ctx::Scalar;
    Index const n = q.extent(1), h = config_.heads;
    auto const result = ctx.tensor(h, n, n);
    typename Workspace<typename Ctx::MemorySpace>::Scope const scope(ctx.workspace);
    Tape<Ctx> tape;
    make_bias(ctx, grid, tape);
    Index const bias = window % tape.bias.extent(0);
    auto const of_tokens = ctx.tensor(h, n, n);
    detail::attend(ctx, activation_, detail::heads_to_read(q.slice(0, window, window + 1), h),
                   detail::heads_to_read(k.slice(0, window, window + 1), h), detail::unit_values(ctx, 1, h, n),
                   TensorOf<Ctx, 4>(of_tokens.data(), {1, h, n, n}),
                   options<Ctx>(detail::of_sequence(grid, window), tape.bias.slice(0, bias, bias + 1)));
    int const kind = grid.kind(static_cast<int>(window % grid.windows()));
    elementwise<T>(ctx.exec, "attn::WindowAttention::weights", h * n, n,
                   detail::InRowsOfWindow<T>{of_tokens.data(), tape.ranks + kind * n, result.data(), n});
    return result;
  }

 private:
  static CoreConfig<A> sized(CoreConfig<A> config, Settings const& s) {
    ATTN_CHECK(s.window.height > 0 && s.window.width > 0 && s.shift.height >= 0 && s.shift.width >= 0 &&
                   s.shift.height < s.window.height && s.shift.width < s.window.width,
               "WindowAttention: give a window of positive size and a shift below it, got ", s.window.height, " x ",
               s.window.width, " and ", s.shift.height, " x ", s.shift.width);
    ATTN_CHECK(s.tokens >= 0, "WindowAttention: give a number of tokens that is not negative, got ", s.tokens);
    config.tokens = s.tokens > 0 ? s.tokens : s.window.area();
    return config;
  }

  /// Of how many windows, among all, gradients of biases are kept apart: of those whose biases differ, and on a device
  /// of more, until enough blocks of threads share the work.
  template <class Ctx>
  Index kept_apart(Index different, Index windows) const {
    if constexpr (HostExecutionSpace<typename Ctx::Space>) return different;
    constexpr Index enough = 256;
    while (different * config_.heads < enough && windows % (2 * different) == 0) different *= 2;
    return different;
  }

  template <class Ctx>
  static auto range(Ctx& ctx, Index n) {
    return Kokkos::RangePolicy<typename Ctx::Space, Kokkos::IndexType<Index>>(ctx.exec, 0, n);
  }

  template <class Ctx>
  static void move(Ctx& ctx, WindowGrid const& grid, ConstTensorOf<Ctx, 3> from, TensorOf<Ctx, 3> to, Index windows,
                   bool to_pixels) {
    using T = typename Ctx::Scalar;
    Index const width = from.extent(2);
    for_rows<T>(ctx.exec, "attn::WindowAttention::move", windows * grid.tokens(), width,
                detail::MoveWindows<T>{from.data(), to.data(), grid, width, to_pixels});
  }

  template <class Ctx>
  void make_bias(Ctx& ctx, WindowGrid const& grid, Tape<Ctx>& tape) const {
    using R = typename Ctx::Real;
    Index const n = grid.tokens(), kinds = grid.kinds(), different = kinds == 1 ? 1 : grid.windows();
    Index const step = (n + 1) / 2 * 2;  // tensor cores load two numbers at a time
    tape.bias = ctx.template tensor<R>(different, config_.heads, n, step).slice(3, 0, n);
    tape.codes = ctx.template tensor<int>(kinds, n).data();
    tape.ranks = ctx.template tensor<int>(kinds, n).data();
    attn::launch("attn::WindowAttention::tables", range(ctx, kinds * n),
                 detail::MakeWindowTables{grid, tape.codes, tape.ranks});
    for_rows<R>(ctx.exec, "attn::WindowAttention::bias", different * config_.heads * n, n,
                detail::GatherBias<R>{grid, ctx.parameters.value(table_).data(), tape.codes, tape.bias.data(),
                                      config_.heads, step});
  }

  template <class Ctx, class Bias, class Norms = NoNorms>
  static auto options(WindowGrid const& grid, Bias const& values, Bias const& gradient = {}, Norms const& norms = {}) {
    using Added = ScoreBias<typename Ctx::Real, typename Ctx::MemorySpace>;
    return AttentionOptions<WindowGrid, Norms, Fp32Products, Added>{
        .mask = grid, .norms = norms, .bias = {.values = values, .gradient = gradient}};
  }

  CoreConfig<A> config_;
  Settings settings_;
  Parameter<2> table_;
  detail::ModuleActivation<A> activation_;
};

/// For networks of floats on the default execution space whose attention is within windows: what `models::Swin` asks
/// for.
using AnyWindowActivation = BasicAnyActivation<
    AttentionCall<Kokkos::DefaultExecutionSpace, float, WindowGrid, NoNorms, Fp32Products, ScoreBias<float>>,
    AttentionCall<Kokkos::DefaultExecutionSpace, float, WindowGrid, AttentionNorms<float>, Fp32Products,
                  ScoreBias<float>>>;

}  // namespace attn::nn
