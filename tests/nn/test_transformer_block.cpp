#include "attn/activation/poly.hpp"
#include "attn/activation/softmax.hpp"
#include "attn/nn/transformer_block.hpp"
#include "attn/testing/check_module.hpp"

#include "support.hpp"

namespace {

using namespace attn;
using attn_test::Exec;
template <class T>
using Ctx = nn::Context<Exec, T>;
template <class A>
using Block = nn::TransformerBlock<nn::MultiHeadAttention<A>, nn::Mlp<nn::Gelu>, nn::LayerNorm>;

TEST(TransformerBlock, IsAModule) {
  Ctx<double> a, b;
  Block<Softmax> const softmax(a / "block", {.width = 6, .heads = 2, .hidden = 11});
  EXPECT_SOUND(attn::testing::check_module(a, softmax, {2, 5, 6}));
  Block<Poly<3, DynamicScale>> const poly(b / "block", {.width = 6,
                                                        .heads = 2,
                                                        .hidden = 11,
                                                        .tokens = 5,
                                                        .dropout = 0.2,
                                                        .stochastic_depth = 0.3,
                                                        .scale_per_head = true});
  EXPECT_SOUND(attn::testing::check_module(b, poly, {3, 5, 6}, {.noisy = true}));
}

TEST(TransformerBlock, RegistersTheNamesOfTimmInTheirOrder) {
  Ctx<float> ctx;
  Block<Softmax> const block(ctx / "blocks" / 0, {.width = 6, .heads = 2, .hidden = 11});
  std::vector<std::string> names;
  for (auto const& e : ctx.parameters.entries()) names.push_back(e.name.substr(std::string("blocks.0.").size()));
  EXPECT_EQ(names, (std::vector<std::string>{"norm1.weight", "norm1.bias", "attn.qkv.weight", "attn.qkv.bias",
                                             "attn.proj.weight", "attn.proj.bias", "norm2.weight", "norm2.bias",
                                             "mlp.fc1.weight", "mlp.fc1.bias", "mlp.fc2.weight", "mlp.fc2.bias"}));
}

TEST(TransformerBlock, WithoutItsBranchesIsTheIdentity) {
  Ctx<float> ctx;
  Block<Softmax> const block(ctx, {.width = 6, .heads = 2, .hidden = 11, .initial = nn::zeros()});
  auto const x = attn_test::random_array<float, 3>({2, 5, 6}, 1);
  EXPECT_SOUND(attn::testing::same_bits(block.forward(ctx, x.tensor()).value, x.tensor()));
}

}  // namespace
