#include "attn/nn/group_norm.hpp"
#include "attn/testing/check_module.hpp"

#include "golden_maps.hpp"
#include "support.hpp"

namespace {

using attn::Index;
using attn::nn::GroupNorm;
using attn_test::Exec;
template <class T>
using Ctx = attn::nn::Context<Exec, T>;

TEST(GroupNorm, AgreesWithAnIndependentImplementation) {
  auto const make = [](attn::nn::Builder const& b) { return GroupNorm(b, {.channels = 12, .groups = 3}); };
  attn_test::expect_golden_maps<float>("group_norm", make);
  attn_test::expect_golden_maps<double>("group_norm", make);
}

TEST(GroupNorm, IsAModuleForTensorsOfEachRank) {
  Ctx<double> ctx;
  GroupNorm const norm(ctx / "n", {.channels = 18, .groups = 2});
  EXPECT_SOUND(attn::testing::check_module(ctx, norm, {3, 18}));
  EXPECT_SOUND(attn::testing::check_module(ctx, norm, {2, 7, 18}));
  EXPECT_SOUND(attn::testing::check_module(ctx, norm, {1, 3, 5, 18}));
}

TEST(GroupNorm, GivesTheSameBitsForOneThreadAndForAll) {
  auto const x = attn_test::random_array<float, 4>({3, 40, 41, 24}, 1);
  std::vector<std::vector<double>> results;
  for (Exec const& exec : {Exec(), attn_test::one_thread()}) {
    Ctx<float> ctx(1, exec);
    GroupNorm const norm(ctx / "n", {.channels = 24, .groups = 4});
    auto [y, tape] = norm.forward(ctx, x.tensor());
    norm.backward(ctx, std::move(tape), y);
    results.push_back(attn::testing::detail::host_numbers(y));
    for (double const g : attn::testing::detail::host_numbers(ctx.parameters.gradients())) results.back().push_back(g);
  }
  EXPECT_SOUND(attn::testing::same_bits(results[1], results[0]));
}

TEST(GroupNorm, SaysWhatIsWrong) {
  Ctx<float> ctx;
  EXPECT_EQ(attn_test::error_of([&] { GroupNorm(ctx / "a", {.channels = 6, .groups = 4}); }),
            "GroupNorm: choose a number of groups that divides the channels, got 6 channels and 4 groups");
  GroupNorm const norm(ctx / "n", {.channels = 6, .groups = 2});
  attn_test::Array<float, 4> const x({1, 0, 2, 6});
  EXPECT_EQ(attn_test::error_of([&] { norm.forward(ctx, x.tensor()); }),
            "GroupNorm::forward: give a contiguous tensor of 6 channels and a pixel, got 6 channels and 0 pixels");
}

}  // namespace
