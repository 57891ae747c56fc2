#include "attn/nn/convolution.hpp"
#include "attn/testing/check_module.hpp"

#include "golden_maps.hpp"
#include "support.hpp"

namespace {

using attn::Index;
using attn::nn::Convolution;
using attn::nn::Size2;
using attn_test::Exec;
template <class T>
using Ctx = attn::nn::Context<Exec, T>;
namespace detail = attn::nn::detail;
using attn::testing::detail::host_numbers;

detail::ConvolutionShape shape_of(Convolution::Config const& c, Index batch, Size2 map) {
  attn::nn::Window const window{c.kernel, c.stride, c.padding, c.dilation};
  return {batch, c.inputs, c.outputs, c.groups, {window, map, window.places("test", map)}};
}

/// The definition, in as many loops as it has sums: for each product calls body(y, w, x) with their offsets.
template <class Body>
void for_products(Convolution::Config const& c, Index batch, Size2 map, Body const& body) {
  auto const s = shape_of(c, batch, map);
  Index const depth = c.inputs / c.groups, width = c.outputs / c.groups;
  Size2 const out = s.sliding.output;
  for (Index b = 0; b < batch; ++b)
    for (Index y = 0; y < out.height; ++y)
      for (Index x = 0; x < out.width; ++x)
        for (Index o = 0; o < c.outputs; ++o)
          for (Index i = 0; i < depth; ++i)
            for (Index u = 0; u < c.kernel.height; ++u)
              for (Index v = 0; v < c.kernel.width; ++v) {
                Index const row = y * c.stride.height - c.padding.height + u * c.dilation.height;
                Index const column = x * c.stride.width - c.padding.width + v * c.dilation.width;
                if (row < 0 || row >= map.height || column < 0 || column >= map.width) continue;
                body(((b * out.height + y) * out.width + x) * c.outputs + o,
                     ((o * depth + i) * c.kernel.height + u) * c.kernel.width + v,
                     ((b * map.height + row) * map.width + column) * c.inputs + o / width * depth + i);
              }
}

struct Case {
  Convolution::Config config;
  Index batch;
  Size2 map;
};

/// Odd settings: no two of a case's sizes are equal where that could hide an exchange.
std::vector<Case> cases() {
  return {
      {{.inputs = 3, .outputs = 5}, 2, {5, 4}},
      {{.inputs = 2, .outputs = 19, .kernel = {3, 2}, .stride = {2, 1}, .padding = {1, 0}, .dilation = {1, 2}},
       3,
       {6, 5}},
      {{.inputs = 6, .outputs = 4, .kernel = {2, 3}, .stride = {3, 2}, .padding = 1, .groups = 2, .bias = false},
       1,
       {7, 8}},
      {{.inputs = 18, .outputs = 18, .kernel = 3, .stride = 1, .padding = 1, .groups = 18}, 2, {6, 11}},
      {{.inputs = 5,
        .outputs = 5,
        .kernel = {5, 6},
        .stride = {1, 2},
        .padding = {4, 2},
        .dilation = {2, 1},
        .groups = 5},
       2,
       {4, 9}},
      {{.inputs = 3, .outputs = 3, .kernel = 2, .stride = 1, .padding = 3, .dilation = 3, .groups = 3}, 1, {1, 2}},
      {{.inputs = 7, .outputs = 3, .kernel = 1}, 2, {3, 5}},
      {{.inputs = 3, .outputs = 6, .kernel = 3, .stride = 2, .padding = 1, .groups = 3}, 1, {5, 5}},
  };
}

struct Results {
  std::vector<double> y, d_x, d_weight, d_bias;
};

template <class T>
struct Arrays {
  Case c;
  detail::ConvolutionShape s = shape_of(c.config, c.batch, c.map);
  attn_test::Array<T, 1> x = attn_test::random_array<T, 1>({s.input_pixels() * s.inputs}, 1);
  attn_test::Array<T, 1> weight = attn_test::random_array<T, 1>({s.weights()}, 2);
  attn_test::Array<T, 1> bias = attn_test::random_array<T, 1>({s.outputs}, 3);
  attn_test::Array<T, 1> d_y = attn_test::random_array<T, 1>({s.places() * s.outputs}, 4);

  Results by_definition() const {
    Results r{std::vector<double>(d_y.numbers().size()),
              std::vector<double>(x.numbers().size()),
              std::vector<double>(weight.numbers().size()),
              {}};
    auto const xs = x.numbers(), ws = weight.numbers(), bs = bias.numbers(), ds = d_y.numbers();
    for (std::size_t i = 0; i < r.y.size(); ++i) r.y[i] = bs[i % bs.size()];
    for_products(c.config, c.batch, c.map, [&](Index y, Index w, Index at) {
      r.y[std::size_t(y)] += ws[std::size_t(w)] * xs[std::size_t(at)];
      r.d_x[std::size_t(at)] += ws[std::size_t(w)] * ds[std::size_t(y)];
      r.d_weight[std::size_t(w)] += xs[std::size_t(at)] * ds[std::size_t(y)];
    });
    return r;
  }

  /// By the kernels that are chosen, or by the direct ones.
  Results computed(Exec const& exec, bool direct) const {
    Ctx<T> ctx(1, exec);
    attn_test::Array<T, 1> y({s.places() * s.outputs}), d_x({s.input_pixels() * s.inputs}), d_weight({s.weights()});
    auto const data = [](auto const& array) { return array.tensor().data(); };
    T const* const from = data(x);
    T const* const gradient = data(d_y);
    T const* const w = data(weight);
    T const* const b = data(bias);
    if (direct) {
      detail::convolve_direct(ctx, s, from, w, b, data(y));
      detail::pull_back_direct(ctx, s, gradient, w, data(d_x));
      detail::add_weight_gradient_direct(ctx, s, from, gradient, data(d_weight));
    } else {
      detail::convolve(ctx, s, from, w, b, data(y));
      detail::pull_back(ctx, s, gradient, w, data(d_x));
      detail::add_weight_gradient(ctx, s, from, gradient, data(d_weight));
    }
    return {y.numbers(), d_x.numbers(), d_weight.numbers(), {}};
  }
};

attn::testing::Verdict close(Results const& got, Results const& want, double tolerance) {
  using attn::testing::allclose;
  auto verdict = allclose(got.y, want.y, tolerance).about("y");
  verdict &= allclose(got.d_x, want.d_x, tolerance).about("d_x");
  return verdict &= allclose(got.d_weight, want.d_weight, tolerance).about("d_weight");
}

TEST(Convolution, IsItsDefinitionInEachKernel) {
  int number = 0;
  for (Case const& c : cases()) {
    Arrays<double> const arrays{c};
    auto const want = arrays.by_definition();
    for (bool const direct : {true, false}) {
      EXPECT_SOUND(close(arrays.computed(Exec(), direct), want, 1e-13)
                       .about("case " + std::to_string(number) + (direct ? ", direct" : "")));
    }
    ++number;
  }
}

/// Sizes at which a host library has code of its own: whole vectors of channels, strips of one image, and odd ones.
std::vector<Case> library_cases() {
  return {
      {{.inputs = 32, .outputs = 48, .kernel = 3, .padding = 1}, 9, {14, 13}},
      {{.inputs = 16, .outputs = 32, .kernel = 3, .stride = 2, .padding = 1}, 1, {61, 59}},
      {{.inputs = 3, .outputs = 16, .kernel = {7, 5}, .stride = {2, 3}, .padding = {3, 2}}, 2, {45, 70}},
      {{.inputs = 32, .outputs = 32, .kernel = 3, .padding = 2, .dilation = 2, .groups = 2}, 2, {30, 31}},
      {{.inputs = 19, .outputs = 7, .kernel = {3, 1}, .padding = {0, 1}}, 3, {17, 29}},
      {{.inputs = 40, .outputs = 40, .kernel = 3, .padding = 1, .groups = 40}, 3, {25, 14}},
      {{.inputs = 64, .outputs = 64, .kernel = 1, .stride = 2}, 2, {28, 28}},
  };
}

TEST(Convolution, OfFloatsAgreesWithTheDirectKernel) {
  int number = 0;
  for (Case const& c : library_cases()) {
    Arrays<float> const arrays{c};
    EXPECT_SOUND(close(arrays.computed(Exec(), false), arrays.computed(Exec(), true), 2e-6)
                     .about("case " + std::to_string(number++)));
  }
}

TEST(Convolution, GivesTheSameBitsForOneThreadAndForAll) {
  int number = 0;
  for (Case const& c : library_cases()) {
    Arrays<float> const arrays{c};
    for (bool const direct : {false, true}) {
      auto const all = arrays.computed(Exec(), direct), one = arrays.computed(attn_test::one_thread(), direct);
      EXPECT_SOUND(close(one, all, 0).about("case " + std::to_string(number)));
    }
    ++number;
  }
}

TEST(Convolution, AgreesWithAnIndependentImplementation) {
  auto const grouped = [](attn::nn::Builder const& b) {
    return Convolution(b, {.inputs = 6,
                           .outputs = 8,
                           .kernel = {3, 2},
                           .stride = {2, 1},
                           .padding = {1, 2},
                           .dilation = {1, 3},
                           .groups = 2});
  };
  auto const depthwise = [](attn::nn::Builder const& b) {
    return Convolution(
        b,
        {.inputs = 5, .outputs = 5, .kernel = {2, 3}, .stride = {1, 2}, .padding = {2, 1}, .groups = 5, .bias = false});
  };
  attn_test::expect_golden_maps<float>("convolution_grouped", grouped);
  attn_test::expect_golden_maps<double>("convolution_grouped", grouped);
  attn_test::expect_golden_maps<float>("convolution_depthwise", depthwise);
  attn_test::expect_golden_maps<double>("convolution_depthwise", depthwise);
}

TEST(Convolution, IsAModule) {
  for (Case const& c : cases()) {
    Ctx<double> ctx;
    Convolution const convolution(ctx / "c", c.config);
    EXPECT_SOUND(attn::testing::check_module(ctx, convolution, {c.batch, c.map.height, c.map.width, c.config.inputs}));
  }
}

TEST(Convolution, OfNarrowNumbersIsCloseToThatOfFloats) {
  for (std::size_t const number : {1, 2, 3}) {  // patches, groups, depthwise
    Case const c = cases()[number];
    Ctx<float> ctx;
    Convolution const convolution(ctx / "c", c.config);
    Arrays<float> const arrays{c};
    attn::Extents<4> const shape{c.batch, c.map.height, c.map.width, c.config.inputs};
    attn::Tensor<float, 4> const x(arrays.x.tensor().data(), shape);
    auto wide = convolution.forward(ctx, x);
    auto const d_x = host_numbers(convolution.backward(ctx, std::move(wide.tape), wide.value));
    auto const d_weights = host_numbers(ctx.parameters.gradients());
    ctx.parameters.zero_gradients(ctx.exec);
    attn::nn::Context<Exec, attn::BFloat16> narrow(ctx);
    auto there = convolution.forward(narrow, attn::nn::converted<attn::BFloat16>(narrow, x));
    EXPECT_SOUND(attn::testing::allclose(there.value, wide.value, 1e-2));
    auto const back = convolution.backward(narrow, std::move(there.tape), there.value);
    EXPECT_SOUND(attn::testing::allclose(back, d_x, 2e-2));
    EXPECT_SOUND(attn::testing::allclose(ctx.parameters.gradients(), d_weights, 2e-2));
  }
}

TEST(Convolution, OfNoImagesGivesNone) {
  Ctx<float> ctx;
  Convolution const convolution(ctx / "c", {.inputs = 3, .outputs = 4});
  attn_test::Array<float, 4> const x({0, 5, 5, 3});
  auto [y, tape] = convolution.forward(ctx, x.tensor());
  EXPECT_EQ(y.extent(0), 0);
  EXPECT_EQ(y.extent(1), 3);
  EXPECT_EQ(convolution.backward(ctx, std::move(tape), y).extent(1), 5);
}

TEST(Convolution, RegistersWhatPyTorchDoes) {
  Ctx<float> ctx;
  Convolution const convolution(ctx / "c", {.inputs = 6, .outputs = 4, .kernel = {2, 5}, .groups = 2});
  EXPECT_EQ(ctx.parameters.entry("c.weight").shape, (std::vector<Index>{4, 3, 2, 5}));
  EXPECT_EQ(ctx.parameters.entry("c.bias").shape, std::vector<Index>{4});
  auto const w = ctx.parameters.host_values(ctx.parameters.entry("c.weight"));
  float const bound = 1 / std::sqrt(30.0f), largest = *std::max_element(w.begin(), w.end());
  EXPECT_LE(largest, bound);
  EXPECT_GT(largest, 0.9f * bound);
}

TEST(Convolution, SaysWhatIsWrong) {
  Ctx<float> ctx;
  using attn_test::error_of;
  EXPECT_EQ(error_of([&] { Convolution(ctx / "a", {.inputs = 6, .outputs = 4, .groups = 4}); }),
            "Convolution: choose a number of groups that divides the channels, got 6 inputs, 4 outputs and 4 groups");
  EXPECT_EQ(error_of([&] {
              Convolution(ctx / "b", {.inputs = 6, .outputs = 4, .stride = {1, 0}});
            }),
            "Convolution: choose a positive kernel, stride and dilation, and a padding that is not negative, got 3 x "
            "3, 1 x 0, 1 x 1 and 0 x 0");
  Convolution const c(ctx / "c", {.inputs = 3, .outputs = 4, .kernel = 5, .padding = {1, 0}});
  attn_test::Array<float, 4> const small({1, 7, 4, 3}), other({1, 7, 7, 2}), x({1, 7, 7, 3}), d_y({1, 5, 4, 4});
  EXPECT_EQ(error_of([&] { c.forward(ctx, small.tensor()); }),
            "Convolution::forward: give maps of at least 3 x 5 pixels, on which a kernel of 5 x 5 fits, got 7 x 4");
  EXPECT_EQ(error_of([&] { c.forward(ctx, other.tensor()); }),
            "Convolution::forward: give contiguous maps (B, H, W, 3), got (1, 7, 7, 2)");
  EXPECT_EQ(error_of([&] { c.backward(ctx, c.forward(ctx, x.tensor()).tape, d_y.tensor()); }),
            "Convolution::backward: give d_y the shape of y");
  ctx.training = false;
  EXPECT_NE(error_of([&] { c.backward(ctx, c.forward(ctx, x.tensor()).tape, d_y.tensor()); }), "");
}

}  // namespace
