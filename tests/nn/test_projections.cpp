#include "attn/nn/projections.hpp"

#include <cmath>

#include "support.hpp"

namespace {

using namespace attn;
using Ctx = nn::Context<attn_test::Exec, float>;

/// Names and shapes in the order of registration; what attends has one parameter, "core".
template <class Projections>
std::string layout(Ctx& ctx, bool bias = true) {
  Projections const projections(ctx / "a", {.width = 2, .bias = bias},
                                [](nn::Builder const& place) { place.add<1>("core", {1}, nn::zeros()); });
  std::string result;
  for (auto const& e : ctx.parameters.entries()) {
    result += e.name;
    for (Index const extent : e.shape) result += " " + std::to_string(extent);
    result += "\n";
  }
  return result;
}

TEST(Projections, HaveThePublishedNamesAndShapes) {
  Ctx fused, packed, three, without;
  EXPECT_EQ(layout<nn::FusedQkv>(fused),
            "a.qkv.weight 6 2\na.qkv.bias 6\na.proj.weight 2 2\na.proj.bias 2\na.core 1\n");
  EXPECT_EQ(layout<nn::PackedProjections>(packed),
            "a.in_proj_weight 6 2\na.in_proj_bias 6\na.out_proj.weight 2 2\na.out_proj.bias 2\na.core 1\n");
  EXPECT_EQ(layout<nn::ThreeMatrices>(three),
            "a.W_q.weight 2 2\na.W_q.bias 2\na.W_k.weight 2 2\na.W_k.bias 2\na.W_v.weight 2 2\na.W_v.bias 2\n"
            "a.attn.core 1\na.ff.weight 2 2\na.ff.bias 2\n");
  EXPECT_EQ(layout<nn::PackedProjections>(without, false),
            "a.in_proj_weight 6 2\na.out_proj.weight 2 2\na.out_proj.bias 2\na.core 1\n");
}

TEST(Projections, StartFromThePublishedDistributions) {
  Ctx fused, packed, three;
  layout<nn::FusedQkv>(fused), layout<nn::PackedProjections>(packed), layout<nn::ThreeMatrices>(three);
  auto const start = [](Ctx& ctx, char const* name) { return ctx.parameters.entry(name).initializer; };
  EXPECT_EQ(start(fused, "a.qkv.weight").spread, 0.02);
  EXPECT_EQ(start(fused, "a.qkv.bias").spread, 0);
  EXPECT_EQ(start(packed, "a.in_proj_weight").spread, std::sqrt(6.0 / 8));
  EXPECT_EQ(start(packed, "a.out_proj.weight").spread, 1 / std::sqrt(2.0));
  EXPECT_EQ(start(three, "a.W_q.bias").spread, 1 / std::sqrt(2.0));
}

TEST(Projections, QueriesKeysAndValuesLieInTheirProducts) {
  Ctx ctx;
  nn::FusedQkv const projections(ctx, {.width = 2}, [](nn::Builder const&) {});
  Extents<3> const x{3, 5, 2}, memory{3, 4, 2};
  auto const self = projections.room(ctx, x, nullptr);
  EXPECT_EQ(self.k.data(), self.all.data() + 2);
  EXPECT_EQ(self.v.data(), self.all.data() + 4);
  EXPECT_EQ(self.k.stride(1), 6);
  auto const cross = projections.room(ctx, x, &memory);
  EXPECT_EQ(cross.q.data(), cross.all.data());
  EXPECT_EQ(cross.v.data(), cross.others.data() + 2);
  EXPECT_EQ(cross.v.extents(), memory);
}

}  // namespace
