#include "attn/activation/softmax.hpp"
#include "attn/models/vit_names.hpp"

#include <fstream>

#include "support.hpp"

namespace {

using namespace attn;

TEST(VitNames, EverySizeHasTimmsCount) {
  std::ifstream file(attn_test::golden_path("layouts/counts_vit.txt"));
  std::vector<std::string> names = models::vit_names();
  std::string name;
  for (Index count = 0; file >> name >> count;) {
    nn::Context<attn_test::Exec> ctx;  // shapes alone: memory comes at first use
    auto const config = models::vit_config<Softmax>(name);
    ASSERT_TRUE(config) << name;
    models::Vit<models::VitBlock<Softmax>> const model(ctx, *config);
    EXPECT_EQ(ctx.parameters.count(), count) << name;
    EXPECT_EQ(std::erase(names, name), 1u) << name;
  }
  EXPECT_EQ(names, std::vector<std::string>());
  EXPECT_FALSE(models::vit_config<Softmax>("vit_tiny_patch15_224"));
}

}  // namespace
