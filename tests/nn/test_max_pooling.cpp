#include "attn/nn/max_pooling.hpp"
#include "attn/testing/check_module.hpp"

#include "golden_maps.hpp"
#include "support.hpp"

namespace {

using attn::nn::MaxPooling;
using attn_test::Exec;
template <class T>
using Ctx = attn::nn::Context<Exec, T>;

MaxPooling::Config const odd{.kernel = {3, 2}, .stride = {2, 1}, .padding = {1, 0}, .dilation = {1, 2}};

TEST(MaxPooling, AgreesWithAnIndependentImplementation) {
  auto const make = [](attn::nn::Builder const&) { return MaxPooling(odd); };
  attn_test::expect_golden_maps<float>("max_pooling", make);
  attn_test::expect_golden_maps<double>("max_pooling", make);
}

TEST(MaxPooling, IsAModule) {
  for (auto const& c : {odd, MaxPooling::Config(), MaxPooling::Config{.kernel = 3, .stride = 2, .padding = 1}}) {
    Ctx<double> ctx;
    EXPECT_SOUND(attn::testing::check_module(ctx, MaxPooling(c), {2, 6, 5, 19}));
  }
}

TEST(MaxPooling, GivesTheGradientToTheFirstOfEqualPixels) {
  Ctx<float> ctx;
  MaxPooling const pooling(MaxPooling::Config{.kernel = {1, 3}, .stride = 1});
  attn_test::Array<float, 4> const x({1, 1, 4, 1}, {2, 5, 5, 5}), d_y({1, 1, 2, 1}, {1, 10});
  auto [y, tape] = pooling.forward(ctx, x.tensor());
  EXPECT_EQ(attn::testing::detail::host_numbers(y), (std::vector<double>{5, 5}));
  auto const d_x = attn::testing::detail::host_numbers(pooling.backward(ctx, std::move(tape), d_y.tensor()));
  EXPECT_EQ(d_x, (std::vector<double>{0, 11, 0, 0}));
}

TEST(MaxPooling, KeepsANaN) {
  Ctx<float> ctx;
  double const nan = std::numeric_limits<double>::quiet_NaN();
  attn_test::Array<float, 4> const x({1, 1, 6, 1}, {2, nan, 5, nan, 3, 4}), d_y({1, 1, 3, 1}, {1, 2, 4});
  auto [y, tape] = MaxPooling(MaxPooling::Config{.kernel = {1, 2}}).forward(ctx, x.tensor());
  auto const numbers = attn::testing::detail::host_numbers(y);
  EXPECT_TRUE(std::isnan(numbers[0]) && std::isnan(numbers[1]));
  EXPECT_EQ(numbers[2], 4);
  auto const d_x = MaxPooling(MaxPooling::Config{.kernel = {1, 2}}).backward(ctx, std::move(tape), d_y.tensor());
  EXPECT_EQ(attn::testing::detail::host_numbers(d_x), (std::vector<double>{0, 1, 0, 2, 0, 4}));
}

TEST(MaxPooling, SaysWhatIsWrong) {
  Ctx<float> ctx;
  using attn_test::error_of;
  EXPECT_EQ(error_of([&] { MaxPooling(MaxPooling::Config{.kernel = 3, .padding = 2}); }),
            "MaxPooling: choose a padding of at most half the kernel, got 2 x 2 and 3 x 3");
  attn_test::Array<float, 4> const x({1, 2, 4, 1});
  EXPECT_EQ(error_of([&] { MaxPooling(MaxPooling::Config{.kernel = 3}).forward(ctx, x.tensor()); }),
            "MaxPooling::forward: give maps of at least 3 x 3 pixels, on which a kernel of 3 x 3 fits, got 2 x 4");
}

}  // namespace
