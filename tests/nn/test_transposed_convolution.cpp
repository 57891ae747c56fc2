#include "attn/nn/transposed_convolution.hpp"
#include "attn/testing/check_module.hpp"

#include "golden_maps.hpp"
#include "support.hpp"

namespace {

using attn::Index;
using attn::nn::TransposedConvolution;
using attn_test::Exec;
template <class T>
using Ctx = attn::nn::Context<Exec, T>;

TransposedConvolution::Config const grouped{.inputs = 4,
                                            .outputs = 6,
                                            .kernel = {3, 2},
                                            .stride = {2, 3},
                                            .padding = {1, 0},
                                            .output_padding = {1, 2},
                                            .dilation = {1, 2},
                                            .groups = 2};

TEST(TransposedConvolution, AgreesWithAnIndependentImplementation) {
  auto const plain = [](attn::nn::Builder const& b) {
    return TransposedConvolution(b, {.inputs = 3, .outputs = 5, .kernel = 2, .stride = 2, .bias = false});
  };
  auto const in_groups = [](attn::nn::Builder const& b) { return TransposedConvolution(b, grouped); };
  attn_test::expect_golden_maps<float>("transposed_plain", plain);
  attn_test::expect_golden_maps<double>("transposed_plain", plain);
  attn_test::expect_golden_maps<float>("transposed_grouped", in_groups);
  attn_test::expect_golden_maps<double>("transposed_grouped", in_groups);
}

TEST(TransposedConvolution, IsAModule) {
  TransposedConvolution::Config const depthwise{
      .inputs = 3, .outputs = 3, .kernel = 3, .stride = 2, .padding = 1, .groups = 3};
  TransposedConvolution::Config const far{
      .inputs = 2, .outputs = 3, .kernel = 2, .stride = 1, .output_padding = 1, .dilation = 2};
  for (auto const& c : {grouped, depthwise, far}) {
    Ctx<double> ctx;
    TransposedConvolution const convolution(ctx / "c", c);
    EXPECT_SOUND(attn::testing::check_module(ctx, convolution, {2, 3, 2, c.inputs}));
  }
}

TEST(TransposedConvolution, GivesTheSameBitsForOneThreadAndForAll) {
  auto const x = attn_test::random_array<float, 4>({3, 14, 14, 32}, 1);
  auto const d_y = attn_test::random_array<float, 4>({3, 28, 28, 48}, 2);
  std::vector<std::vector<double>> results;
  for (Exec const& exec : {Exec(), attn_test::one_thread()}) {
    Ctx<float> ctx(1, exec);
    TransposedConvolution const c(ctx / "c", {.inputs = 32, .outputs = 48, .kernel = 2, .stride = 2});
    auto [y, tape] = c.forward(ctx, x.tensor());
    auto all = attn::testing::detail::host_numbers(y);
    for (double const d : attn::testing::detail::host_numbers(c.backward(ctx, std::move(tape), d_y.tensor()))) {
      all.push_back(d);
    }
    for (double const d : attn::testing::detail::host_numbers(ctx.parameters.gradients())) all.push_back(d);
    results.push_back(all);
  }
  EXPECT_SOUND(attn::testing::same_bits(results[1], results[0]));
}

TEST(TransposedConvolution, SaysWhatIsWrong) {
  Ctx<float> ctx;
  using attn_test::error_of;
  EXPECT_EQ(error_of([&] { TransposedConvolution(ctx / "a", {.inputs = 2, .outputs = 2, .output_padding = 1}); }),
            "TransposedConvolution: choose an output padding that is less than the stride or the dilation, got 1 x 1");
  TransposedConvolution const c(ctx / "b", {.inputs = 2, .outputs = 2, .kernel = 2, .padding = 1});
  attn_test::Array<float, 4> const x({1, 1, 3, 2});
  EXPECT_EQ(error_of([&] { c.forward(ctx, x.tensor()); }),
            "TransposedConvolution: give larger maps, or less padding: 1 x 3 pixels become 0 x 2");
}

}  // namespace
