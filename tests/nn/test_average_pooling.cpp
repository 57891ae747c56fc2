#include "attn/nn/average_pooling.hpp"
#include "attn/testing/check_module.hpp"

#include "golden_maps.hpp"
#include "support.hpp"

namespace {

using attn::nn::AveragePooling;
using attn::nn::GlobalAveragePooling;
using attn_test::Exec;
template <class T>
using Ctx = attn::nn::Context<Exec, T>;

AveragePooling::Config const odd{.kernel = {3, 2}, .stride = {2, 1}, .padding = 1};
AveragePooling::Config const inside{.kernel = 3, .stride = 2, .padding = 1, .counts_padding = false};

TEST(AveragePooling, AgreesWithAnIndependentImplementation) {
  auto const with_padding = [](attn::nn::Builder const&) { return AveragePooling(odd); };
  auto const without = [](attn::nn::Builder const&) { return AveragePooling(inside); };
  attn_test::expect_golden_maps<float>("average_pooling", with_padding);
  attn_test::expect_golden_maps<double>("average_pooling", with_padding);
  attn_test::expect_golden_maps<float>("average_pooling_inside", without);
  attn_test::expect_golden_maps<double>("average_pooling_inside", without);
}

TEST(AveragePooling, IsAModule) {
  for (auto const& c : {odd, inside, AveragePooling::Config()}) {
    Ctx<double> ctx;
    EXPECT_SOUND(attn::testing::check_module(ctx, AveragePooling(c), {2, 6, 5, 19}));
  }
}

TEST(AveragePooling, SaysWhatIsWrong) {
  EXPECT_EQ(attn_test::error_of([] { AveragePooling(AveragePooling::Config{.kernel = 2, .stride = -1}); }),
            "AveragePooling: choose a positive kernel, stride and dilation, and a padding that is not negative, got 2 "
            "x 2, -1 x -1, 1 x 1 and 0 x 0");
}

TEST(GlobalAveragePooling, IsAModule) {
  Ctx<double> ctx;
  EXPECT_SOUND(attn::testing::check_module(ctx, GlobalAveragePooling(), {2, 3, 5, 17}));
}

TEST(GlobalAveragePooling, IsTheMeanOfEachMap) {
  Ctx<float> ctx;
  attn_test::Array<float, 4> const x({2, 1, 2, 2}, {1, 2, 3, 4, 5, 6, 8, 9}), none({1, 0, 2, 2});
  EXPECT_EQ(attn::testing::detail::host_numbers(GlobalAveragePooling().forward(ctx, x.tensor()).value),
            (std::vector<double>{2, 3, 6.5, 7.5}));
  EXPECT_EQ(attn_test::error_of([&] { GlobalAveragePooling().forward(ctx, none.tensor()); }),
            "GlobalAveragePooling::forward: give contiguous maps (B, H, W, C) of at least one pixel, got (1, 0, 2, 2)");
}

}  // namespace
