#include "attn/activation/poly.hpp"
#include "attn/activation/softmax.hpp"
#include "attn/models/swin_names.hpp"
#include "attn/testing/check_module.hpp"

#include <fstream>

#include "support.hpp"

namespace {

using namespace attn;
using attn_test::Exec;
template <class T>
using Ctx = nn::Context<Exec, T>;

TEST(Swin, IsAModule) {
  // A map of 3 x 4 pixels behind an image with a rest, in shifted windows of which some are not full; then one of 2 x
  // 2, in windows of 2 x 1 that lie side by side.
  Ctx<double> ctx;
  models::Swin<Poly<3, DynamicScale>> const model(ctx, {.width = 4,
                                                        .depths = {2, 1},
                                                        .heads = {1, 2},
                                                        .windows = {2, {3, 1}},
                                                        .mlp_ratio = 1.5,
                                                        .image_height = 7,
                                                        .image_width = 8,
                                                        .channels = 1,
                                                        .patch = 2,
                                                        .classes = 3});
  EXPECT_SOUND(attn::testing::check_module(ctx, model, {1, 1, 7, 8}));
}

TEST(Swin, EveryNamedSizeHasTimmsCount) {
  std::ifstream file(attn_test::golden_path("layouts/counts_swin.txt"));
  std::vector<std::string> names = models::swin_names();
  std::string name;
  for (Index count = 0; file >> name >> count;) {
    Ctx<double> ctx;  // shapes alone: memory comes at first use
    auto config = models::swin_config<Poly<3, DynamicScale>>(name);
    ASSERT_TRUE(config) << name;
    models::Swin<Poly<3, DynamicScale>> const model(ctx, *config);
    Index scales = 0;
    for (Index const depth : config->depths) scales += depth;
    EXPECT_EQ(ctx.parameters.count(), count + scales) << name;
    std::erase(names, name);
  }
  EXPECT_EQ(names, std::vector<std::string>());
  EXPECT_FALSE(models::swin_config<Softmax>("swin_tiny"));
}

}  // namespace
