#include "attn/activation/softmax.hpp"
#include "attn/models/xcit_names.hpp"
#include "attn/nn/fine_tuning.hpp"

#include <map>

#include "support.hpp"

namespace {

using namespace attn;
using Ctx = nn::Context<attn_test::Exec>;
using Xcit = models::Xcit<Softmax>;

Index count(std::string const& name) {
  Ctx ctx;
  Xcit const model(ctx, *models::xcit_config<Softmax>(name));
  return ctx.parameters.count();
}

TEST(XcitNames, HaveTimmsNumbersOfParameters) {
  std::map<std::string, Index> const counts = {
      {"xcit_nano_12_p16", 3'053'224},    {"xcit_nano_12_p8", 3'049'016},     {"xcit_tiny_12_p16", 6'716'272},
      {"xcit_tiny_12_p8", 6'706'504},     {"xcit_small_12_p16", 26'253'304},  {"xcit_small_12_p8", 26'213'032},
      {"xcit_tiny_24_p16", 12'116'896},   {"xcit_tiny_24_p8", 12'107'128},    {"xcit_small_24_p16", 47'671'384},
      {"xcit_small_24_p8", 47'631'112},   {"xcit_medium_24_p16", 84'395'752}, {"xcit_medium_24_p8", 84'323'624},
      {"xcit_large_24_p16", 189'096'136}, {"xcit_large_24_p8", 188'932'648}};
  auto const names = models::xcit_names();
  EXPECT_EQ(names.size(), 28u);
  for (std::string const& name : names) {
    EXPECT_EQ(count(name), counts.at(name.substr(0, name.size() - 4))) << name;
  }
  EXPECT_FALSE(models::xcit_config<Softmax>("xcit_small_12_p16_225"));
}

TEST(XcitNames, DecayAndLayersAreTimms) {
  Ctx ctx;
  auto config = *models::xcit_config<Softmax>("xcit_nano_12_p16_224");
  config.depth = 2;
  Xcit const model(ctx, config);
  nn::set_layer_decay(ctx.parameters, 0.5, model.layers());
  std::map<std::string, double> const factors = {
      {"cls_token", 0.03125}, {"patch_embed", 0.03125},     {"pos_embed", 0.03125},      {"blocks.0.", 0.0625},
      {"blocks.1.", 0.125},   {"cls_attn_blocks.0.", 0.25}, {"cls_attn_blocks.1.", 0.5}, {"norm", 0.5},
      {"head", 1.0}};
  for (auto const& e : ctx.parameters.entries()) {
    bool const decays = e.shape.size() > 1 && e.name != "cls_token" && !e.name.starts_with("pos_embed.");
    EXPECT_EQ(e.decays, decays) << e.name;
    EXPECT_EQ(std::holds_alternative<nn::ClassRows>(e.adapts), e.name.starts_with("head.")) << e.name;
    for (auto const& [prefix, factor] : factors) {
      if (!e.name.starts_with(prefix)) continue;
      EXPECT_EQ(e.learning_rate_factor, factor) << e.name;
    }
  }
}

}  // namespace
