#include "attn/activation/softmax.hpp"
#include "attn/models/swin_names.hpp"

#include <fstream>

#include "support.hpp"

namespace {

using namespace attn;

TEST(SwinNames, EverySizeHasTimmsCount) {
  std::ifstream file(attn_test::golden_path("layouts/counts_swin.txt"));
  std::vector<std::string> names = models::swin_names();
  std::string name;
  for (Index count = 0; file >> name >> count;) {
    nn::Context<attn_test::Exec> ctx;  // shapes alone: memory comes at first use
    auto const config = models::swin_config<Softmax>(name);
    ASSERT_TRUE(config) << name;
    models::Swin<Softmax> const model(ctx, *config);
    EXPECT_EQ(ctx.parameters.count(), count) << name;
    EXPECT_EQ(std::erase(names, name), 1u) << name;
  }
  EXPECT_EQ(names, std::vector<std::string>());
  EXPECT_FALSE(models::swin_config<Softmax>("swin_tiny"));
}

}  // namespace
