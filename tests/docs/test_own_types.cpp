// What docs/add_an_activation.md and docs/add_a_model.md show: types of a user, used and checked.
#include "attn/attn.hpp"
#include "attn/linalg/reduce.hpp"
#include "attn/testing/check_activation.hpp"
#include "attn/testing/check_module.hpp"

#include <gtest/gtest.h>

namespace {

/// Softmax beside a score of zero that has no value: a query may attend to nothing.
/// w_j = e^(s_j) / (1 + sum_k e^(s_k))
struct SoftmaxOrNothing {
  template <class T>
  struct Stats {
    T max = T(0);  // of the scores so far and of that zero
    T sum = T(1);  // of e^(score - max)
  };

  template <class T>
  ATTN_FUNCTION T absorb(Stats<T>& stats, T score) const {
    T const max = attn::max(stats.max, score);
    T const factor = attn::exp(stats.max - max);
    stats.sum = stats.sum * factor + attn::exp(score - max);
    stats.max = max;
    return factor;
  }
  template <class T>
  ATTN_FUNCTION T numerator(T score, Stats<T> const& stats) const {
    return attn::exp(score - stats.max);
  }
  template <class T>
  ATTN_FUNCTION T normalizer(Stats<T> const& stats) const {
    return stats.sum;
  }
  template <class T>
  ATTN_FUNCTION T pullback(T w, T d_w, T delta) const {  // delta = sum_j w_j d_w_j
    return w * (d_w - delta);
  }
};

/// w = height tanh(steepness s), both trained.
template <attn::Real R = float>
struct TrainedTanh {
  static constexpr int n_parameters = 2;
  static constexpr char const* parameter_names[] = {"height", "steepness"};

  attn::LearnedParameters<R> numbers = {};

  template <class T>
  ATTN_FUNCTION T operator()(T score, attn::Row row) const {
    return number<T>(0, row) * attn::tanh(number<T>(1, row) * score);
  }
  template <class T>
  ATTN_FUNCTION Kokkos::Array<T, 2> parameter_slopes(T score, attn::Row row) const {
    T const y = attn::tanh(number<T>(1, row) * score);
    return {y, number<T>(0, row) * (T(1) - y * y) * score};
  }

  ATTN_FUNCTION attn::LearnedParameters<R> parameters() const { return numbers; }
  static Kokkos::Array<double, 2> initial_parameters(int n_keys) { return {1.0 / n_keys, 1.0}; }
  template <attn::Real Other>
  TrainedTanh<Other> bind(attn::LearnedParameters<Other> other) const {
    return {other};
  }

 private:
  template <class T>
  ATTN_FUNCTION T number(int which, attn::Row row) const {
    int const first = numbers.per_head ? n_parameters * row.head : 0;
    return T(attn::RealOf<T>(numbers.value[first + which]));
  }
};

/// A query sees the keys of its own block.
struct Blocks {
  int size = 1;

  ATTN_FUNCTION attn::KeyRange keys(attn::Query query) const {
    int const begin = query.index / size * size, end = begin + size;
    return {begin < query.n_keys ? begin : query.n_keys, end < query.n_keys ? end : query.n_keys};
  }
  ATTN_FUNCTION int length(int /*batch*/, int n_keys) const { return n_keys; }
};

/// out = x by, number by number; `by` has one row for all if its step is zero.
template <class T>
struct Multiply {
  T const* x;
  T const* by;
  T* out;
  attn::Index width, by_step;

  template <class Lanes>
  ATTN_FUNCTION void operator()(Lanes lanes, attn::Index row, attn::Index column) const {
    attn::Index const at = row * width + column;
    lanes.store(out + at, lanes.load(x + at) * lanes.load(by + row * by_step + column));
  }
};

/// x (B, N, C) -> y = gamma x, a trained factor for each channel (CaiT's LayerScale).
class LayerScale {
 public:
  struct Config {
    attn::Index width = 0;
    double initial = 1;
  };
  template <class X>
  struct Tape {
    X x;
  };

  LayerScale(attn::nn::Builder const& builder, Config const& config)
      : gamma_(builder.add<1>("gamma", {config.width}, attn::nn::constant(config.initial))) {}

  template <class Ctx>
  auto forward(Ctx& ctx, std::type_identity_t<attn::nn::ConstTensorOf<Ctx, 3>> x) const {
    auto const y = ctx.tensor(x.extents());
    multiply(ctx, x, ctx.parameters.value(gamma_).data(), 0, y);
    using Kept = Tape<attn::nn::ConstTensorOf<Ctx, 3>>;
    return attn::nn::Forward<attn::nn::TensorOf<Ctx, 3>, Kept>{y, ctx.keeps_tape() ? Kept{x} : Kept{}};
  }

  /// forward: y = gamma x; hence d_x = gamma d_y, and d_gamma += sum over all tokens of x d_y
  template <class Ctx, class X>
  auto backward(Ctx& ctx, Tape<X>&& tape, std::type_identity_t<attn::nn::ConstTensorOf<Ctx, 3>> d_y) const {
    ATTN_CHECK(tape.x.data() != nullptr, "LayerScale::backward: run forward with ctx.training switched on");
    auto const d_x = ctx.tensor(d_y.extents());
    multiply(ctx, d_y, ctx.parameters.value(gamma_).data(), 0, d_x);
    typename attn::Workspace<typename Ctx::MemorySpace>::Scope const scope(ctx.workspace);
    auto const product = ctx.tensor(d_y.extents());
    multiply(ctx, d_y, tape.x.data(), d_y.extent(2), product);
    attn::linalg::column_sums(ctx.exec, product.rows(), 1, ctx.parameters.gradient(gamma_));
    return d_x;
  }

 private:
  template <class Ctx, class X, class Y>
  static void multiply(Ctx& ctx, X const& x, typename Ctx::Scalar const* by, attn::Index by_step, Y const& out) {
    using T = typename Ctx::Scalar;
    attn::Index const width = x.extent(2);
    attn::elementwise<T>(ctx.exec, "LayerScale", x.extent(0) * x.extent(1), width,
                         Multiply<T>{x.data(), by, out.data(), width, by_step});
  }

  attn::nn::Parameter<1> gamma_;
};

TEST(Extending, ARowActivationIsSound) {
  auto const report = attn::testing::check_activation(SoftmaxOrNothing{});
  EXPECT_TRUE(report) << report.message();
}

TEST(Extending, ATrainedActivationIsSound) {
  auto const report = attn::testing::check_activation(TrainedTanh<>{});
  EXPECT_TRUE(report) << report.message();
}

TEST(Extending, AModuleTrainsTheNumbersOfAnActivation) {
  attn::nn::Context<Kokkos::DefaultExecutionSpace, double> ctx;
  attn::nn::MultiHeadAttention<TrainedTanh<>, Blocks> const attention(
      ctx / "attn", {.width = 6, .heads = 2, .tokens = 5, .scale_per_head = true, .core = {.mask = {2}}});
  EXPECT_EQ(ctx.parameters.entry("attn.activation.height").size, 2);
  EXPECT_EQ(ctx.parameters.entry("attn.activation.steepness").size, 2);
  auto const verdict = attn::testing::check_module(ctx, attention, {2, 5, 6});
  EXPECT_TRUE(verdict) << verdict.message();
}

TEST(Extending, LengthsComeWithTheCall) {
  attn::nn::Context<Kokkos::DefaultExecutionSpace, double> ctx;
  using Padded = attn::nn::MultiHeadAttention<attn::Softmax, attn::KeyPadding>;
  attn::nn::TransformerBlock<Padded, attn::nn::Mlp<attn::nn::Gelu>> const block(ctx / "block",
                                                                                {.width = 6, .heads = 2, .hidden = 8});
  Kokkos::View<int*> const lengths("lengths", 2);  // of both sequences
  Kokkos::deep_copy(lengths, 3);
  auto const x = ctx.tensor(2, 5, 6);
  Kokkos::deep_copy(x.view(), 0.5);

  attn::nn::WithSequences const padded(ctx, {.lengths = lengths});
  auto [y, tape] = block.forward(ctx, x);

  auto const d_x = block.backward(ctx, std::move(tape), attn::nn::ConstTensorOf<decltype(ctx), 3>(y));
  EXPECT_EQ(d_x.extents(), x.extents());
}

TEST(Extending, AnActivationIsChosenAtRunTime) {
  attn::nn::Context<Kokkos::DefaultExecutionSpace> ctx;
  bool const wants_softmax = true;
  attn::AnyActivation const chosen = wants_softmax ? attn::AnyActivation(attn::Softmax{}) : TrainedTanh<>{};
  attn::nn::MultiHeadAttention<attn::AnyActivation> const attention(ctx,
                                                                    {.width = 6, .heads = 2, .activation = chosen});
  auto const x = ctx.tensor(2, 3, 6);
  Kokkos::deep_copy(x.view(), 1.0f);
  auto const y = attention.forward(ctx, x).value;
  ctx.exec.fence();
  EXPECT_EQ(y.extent(2), 6);

  using Exec = Kokkos::DefaultExecutionSpace;
  using CausalOrNot =
      attn::BasicAnyActivation<attn::AttentionCall<Exec, double>, attn::AttentionCall<Exec, double, attn::Causal>>;
  EXPECT_FALSE(CausalOrNot().has_value());
}

TEST(Extending, AModuleKeepsItsPromises) {
  attn::nn::Context<Kokkos::DefaultExecutionSpace, double> ctx;
  LayerScale const scale(ctx / "ls1", {.width = 5});
  auto const verdict = attn::testing::check_module(ctx, scale, {2, 3, 5});
  EXPECT_TRUE(verdict) << verdict.message();
}

}  // namespace
