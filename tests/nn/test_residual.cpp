#include "attn/nn/function.hpp"
#include "attn/nn/layer_norm.hpp"
#include "attn/nn/mlp.hpp"
#include "attn/nn/residual.hpp"
#include "attn/testing/check_module.hpp"

#include "support.hpp"

namespace {

using namespace attn;
using attn_test::Exec;
using nn::Residual;
using Ctx = nn::Context<Exec, double>;

/// A user's smallest module, as norm: no `backward_add`.
struct Identity {
  struct Tape {};
  template <class C, class X>
  nn::Forward<X, Tape> forward(C&, X const& x) const {
    return {x, {}};
  }
  template <class C, class D>
  D backward(C&, Tape&&, D const& d_y) const {
    return d_y;
  }
};

using Fused = Residual<nn::LayerNorm, nn::Mlp<nn::Gelu>>;
using Plain = Residual<Identity, nn::Pointwise<nn::Tanh>>;

TEST(Residual, IsAModuleAroundABranchThatAddsItself) {
  Ctx ctx;
  Fused const residual{nn::LayerNorm(ctx / "norm", {.width = 5}),
                       nn::Mlp<nn::Gelu>(ctx / "mlp", {.width = 5, .hidden = 7})};
  EXPECT_SOUND(attn::testing::check_module(ctx, residual, {2, 3, 5}));
}

TEST(Residual, IsAModuleAroundAnyModule) {
  Ctx ctx;
  Plain const residual{Identity(), nn::Pointwise<nn::Tanh>()};
  EXPECT_SOUND(attn::testing::check_module(ctx, residual, {2, 3, 5}));
}

TEST(Residual, IsAModuleWithStochasticDepth) {
  for (std::uint64_t seed = 0; seed < 3; ++seed) {
    Ctx a(seed), b(seed);
    Fused const fused{nn::LayerNorm(a / "norm", {.width = 5}), nn::Mlp<nn::Gelu>(a / "mlp", {.width = 5, .hidden = 7}),
                      nn::StochasticDepth(a / "drop_path", 0.5)};
    EXPECT_SOUND(attn::testing::check_module(a, fused, {4, 3, 5}, {.noisy = true}));
    Plain const plain{Identity(), nn::Pointwise<nn::Tanh>(), nn::StochasticDepth(b / "drop_path", 0.5)};
    EXPECT_SOUND(attn::testing::check_module(b, plain, {4, 3, 5}, {.noisy = true}));
  }
}

TEST(Residual, BackwardInPlaceIsBackward) {
  Ctx ctx(1);
  Fused const residual{nn::LayerNorm(ctx / "norm", {.width = 5}),
                       nn::Mlp<nn::Gelu>(ctx / "mlp", {.width = 5, .hidden = 7}),
                       nn::StochasticDepth(ctx / "drop_path", 0.3)};
  auto const x = attn_test::random_array<double, 3>({4, 3, 5}, 1), d = attn_test::random_array<double, 3>({4, 3, 5}, 2);
  auto first = residual.forward(ctx, x.tensor()), second = residual.forward(ctx, x.tensor());
  auto const apart = residual.backward(ctx, std::move(first.tape), d.tensor());
  auto const in_place = residual.backward_in_place(ctx, std::move(second.tape), d.tensor());
  EXPECT_EQ(in_place.data(), d.tensor().data());
  EXPECT_SOUND(attn::testing::same_bits(in_place, apart));
}

TEST(Residual, WantsABranchThatKeepsTheShape) {
  Ctx ctx;
  Residual<Identity, nn::Linear> const residual{Identity(), nn::Linear(ctx / "l", {.inputs = 5, .outputs = 4})};
  attn_test::Array<double, 3> const x({2, 3, 5});
  EXPECT_EQ(attn_test::error_of([&] { residual.forward(ctx, x.tensor()); }),
            "Residual: give a branch whose output has the shape of its input");
}

}  // namespace
