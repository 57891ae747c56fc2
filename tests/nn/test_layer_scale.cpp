#include "attn/nn/function.hpp"
#include "attn/nn/layer_norm.hpp"
#include "attn/nn/layer_scale.hpp"
#include "attn/nn/mlp.hpp"
#include "attn/nn/residual.hpp"
#include "attn/testing/check_module.hpp"

#include "support.hpp"

namespace {

using namespace attn;
using attn_test::Exec;
using nn::LayerScale;
using nn::Scaled;
using Ctx = nn::Context<Exec, double>;
using Branch = Scaled<nn::Mlp<nn::Gelu>>;

Branch branch(Ctx& ctx, Index width) {
  return {nn::Mlp<nn::Gelu>(ctx / "mlp", {.width = width, .hidden = 7}),
          LayerScale(ctx / "ls", {.width = width, .initial = 0.5})};
}

TEST(LayerScale, MultipliesEachChannelByItsNumber) {
  Ctx ctx;
  LayerScale const scale(ctx / "ls1", {.width = 3, .initial = 0.25});
  LayerScale const other(ctx, {.width = 3, .name = "gamma2"});
  auto const& entry = ctx.parameters.entry("ls1.gamma");
  EXPECT_FALSE(entry.decays);
  EXPECT_TRUE(ctx.parameters.contains("gamma2"));
  attn_test::Array<double, 1> const gamma({3}, {2, -1, 0});
  Kokkos::deep_copy(ctx.parameters.value(entry).view(), gamma.tensor().view());
  attn_test::Array<double, 2> const x({2, 3}, {1, 2, 3, 4, 5, 6});
  auto [y, tape] = scale.forward(ctx, x.tensor());
  EXPECT_EQ(attn::testing::detail::host_numbers(y), (std::vector<double>{2, -2, 0, 8, -5, 0}));
  scale.backward(ctx, std::move(tape), x.tensor());
  EXPECT_EQ(ctx.parameters.host_gradients(entry), (std::vector<double>{17, 29, 45}));
}

TEST(LayerScale, IsAModuleForTensorsOfEachRank) {
  Ctx ctx;
  LayerScale const scale(ctx / "ls", {.width = 19});
  EXPECT_SOUND(attn::testing::check_module(ctx, scale, {0, 19}));
  EXPECT_SOUND(attn::testing::check_module(ctx, scale, {2, 67, 19}));
  EXPECT_SOUND(attn::testing::check_module(ctx, scale, {2, 2, 3, 19}));
}

TEST(Scaled, IsABranchOfAResidualConnectionWithStochasticDepth) {
  for (std::uint64_t seed = 0; seed < 2; ++seed) {
    Ctx ctx(seed);
    nn::Residual<nn::LayerNorm, Branch> const residual{nn::LayerNorm(ctx / "norm", {.width = 5}), branch(ctx, 5),
                                                       nn::StochasticDepth(ctx / "drop_path", 0.5)};
    EXPECT_SOUND(attn::testing::check_module(ctx, residual, {4, 3, 5}, {.noisy = true}));
  }
}

TEST(LayerScale, WantsItsWidth) {
  Ctx ctx;
  LayerScale const scale(ctx / "ls", {.width = 5});
  attn_test::Array<double, 3> const x({2, 3, 4});
  EXPECT_EQ(attn_test::error_of([&] { scale.forward(ctx, x.tensor()); }),
            "LayerScale::forward: give a contiguous tensor of width 5, got (2, 3, 4)");
}

}  // namespace
