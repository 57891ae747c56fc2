#include "attn/nn/fine_tuning.hpp"

#include <map>

#include "support.hpp"

namespace {

using attn::nn::ParameterRegistry;

void add_names(ParameterRegistry& p) {
  for (char const* const name : {"cls_token", "blocks.0.w", "blocks.1.w", "norm.w", "head.w", "head.b"}) {
    attn::nn::Builder(p).add<1>(name, {2}, attn::nn::zeros());
  }
}

TEST(TrainOnly, FreezesWhatNoPatternNames) {
  ParameterRegistry p;
  add_names(p);
  attn::nn::train_only(p, {"head.*", "norm.*"});
  for (auto const& e : p.entries()) EXPECT_EQ(e.trained, e.name[0] == 'h' || e.name[0] == 'n') << e.name;
  attn::nn::train_only(p, {"*"});
  for (auto const& e : p.entries()) EXPECT_TRUE(e.trained) << e.name;
}

TEST(TrainOnly, APatternThatMatchesNothing_IsRefusedBeforeAnythingIsFrozen) {
  ParameterRegistry p;
  add_names(p);
  EXPECT_NE(attn_test::error_of([&] {
              attn::nn::train_only(p, {"head.*", "fc.*"});
            }).find("\"fc.*\" matches none of 6"),
            std::string::npos);
  for (auto const& e : p.entries()) EXPECT_TRUE(e.trained) << e.name;
}

TEST(SetLayerDecay, FactorsFallFromTheHeadToTheStem) {
  ParameterRegistry p;
  add_names(p);
  attn::nn::set_layer_decay(p, 0.5, {{"cls_token"}, {"blocks.0.*"}, {"blocks.1.*", "norm.*"}});
  std::map<std::string, double> factors;
  for (auto const& e : p.entries()) factors[e.name] = e.learning_rate_factor;
  EXPECT_EQ(factors, (std::map<std::string, double>{{"cls_token", 0.125},
                                                    {"blocks.0.w", 0.25},
                                                    {"blocks.1.w", 0.5},
                                                    {"norm.w", 0.5},
                                                    {"head.w", 1},
                                                    {"head.b", 1}}));
}

TEST(SetLayerDecay, SaysWhatIsWrong) {
  ParameterRegistry p;
  add_names(p);
  EXPECT_THROW(attn::nn::set_layer_decay(p, 0, {{"cls_token"}}), attn::Error);
  EXPECT_THROW(attn::nn::set_layer_decay(p, 1.5, {{"cls_token"}}), attn::Error);
  EXPECT_THROW(attn::nn::set_layer_decay(p, 0.5, {{"cls_token"}, {"blocks.2.*"}}), attn::Error);
  for (auto const& e : p.entries()) EXPECT_EQ(e.learning_rate_factor, 1) << e.name;
}

}  // namespace
