#include "attn/activation/softmax.hpp"
#include "attn/models/mask_rcnn_names.hpp"

#include "support.hpp"

namespace {

using namespace attn;

TEST(MaskRcnnNames, HaveSizes) {
  auto const names = models::mask_rcnn_names();
  EXPECT_EQ(names.size(), 15u);
  for (std::string const& name : names) {
    auto const config = models::mask_rcnn_config<Softmax>(name);
    ASSERT_TRUE(config) << name;
    EXPECT_EQ(config->backbone.taps[3], config->backbone.depth - 1) << name;
    EXPECT_EQ(config->backbone.width % config->backbone.heads, 0) << name;
  }
  EXPECT_EQ(models::mask_rcnn_config<Softmax>("small_24_p8")->backbone.patch, 8);
  EXPECT_EQ(models::mask_rcnn_config<Softmax>("small_24_p8")->backbone.eta, 1e-5);
  EXPECT_FALSE(models::mask_rcnn_config<Softmax>("small_12_p17"));
}

TEST(MaskRcnnNames, TapsAreThoseOfThePublishedDetectors) {
  EXPECT_EQ(models::xcit_taps(12), (std::array<Index, 4>{3, 5, 7, 11}));
  EXPECT_EQ(models::xcit_taps(24), (std::array<Index, 4>{7, 11, 15, 23}));
  EXPECT_EQ(models::xcit_taps(1), (std::array<Index, 4>{0, 0, 0, 0}));
}

}  // namespace
