#include "attn/activation/softmax.hpp"
#include "attn/attention/any_activation.hpp"
#include "attn/models/xcit_backbone.hpp"

#include "support.hpp"

namespace {

using namespace attn;
using Ctx = nn::Context<attn_test::Exec>;  // what the detector's test has, with which this is compiled
using Backbone = models::XcitBackbone<AnyActivation>;

Backbone::Config tiny(Index patch) {
  return {.width = 8,
          .depth = 2,
          .heads = 2,
          .mlp_ratio = 1,
          .patch = patch,
          .taps = {0, 0, 1, 1},
          .stochastic_depth = 0,
          .activation = Softmax{}};
}

TEST(XcitBackbone, MakesMapsOfFourSizes) {
  for (Index const patch : {8, 16}) {
    Ctx ctx;
    Backbone const backbone(ctx, tiny(patch));
    auto const images = attn_test::random_array<float, 4>({2, 3, 64, 96}, 1);
    auto [maps, tape] = backbone.forward(ctx, images.tensor());
    ASSERT_EQ(maps.size(), 4u);
    for (Index l = 0; l < 4; ++l) {
      EXPECT_EQ(maps[std::size_t(l)].extents(), (Extents<4>{2, 16 >> l, 24 >> l, 8}));
    }
    EXPECT_TRUE(ctx.parameters.contains("fpn1.0.weight"));
    EXPECT_EQ(ctx.parameters.contains("fpn2.0.weight"), patch == 16);
    backbone.backward(ctx, std::move(tape), maps);
  }
}

}  // namespace
