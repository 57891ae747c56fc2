#include "attn/nn/layer_norm.hpp"
#include "attn/testing/check_module.hpp"

#include "support.hpp"

namespace {

using attn::Index;
using attn::nn::LayerNorm;
using attn_test::Exec;
template <class T>
using Ctx = attn::nn::Context<Exec, T>;

TEST(LayerNorm, IsAModuleForAllWidths) {
  for (Index const width : {2, 13, 16, 17, 64}) {
    Ctx<double> ctx;
    LayerNorm const norm(ctx / "norm", {.width = width});
    EXPECT_SOUND(attn::testing::check_module(ctx, norm, {3, width}).about(std::to_string(width)));
  }
}

template <class T>
void expect_golden(std::string const& name) {
  std::string const at = "nn/layer_norm_" + name + "_";
  auto const x = attn_test::golden_array<T, 2>(at + "x"), d_y = attn_test::golden_array<T, 2>(at + "d_y");
  Index const width = x.tensor().extent(1);
  Ctx<T> ctx;
  LayerNorm const norm(ctx / "norm", {.width = width, .epsilon = attn_test::golden(at + "epsilon")[0]});
  for (char const* p : {"weight", "bias"}) {
    auto const values = attn_test::golden(at + p);
    ctx.parameters.assign(ctx.parameters.entry(std::string("norm.") + p), std::span<double const>(values));
  }
  auto [y, tape] = norm.forward(ctx, x.tensor());
  auto const d_x = norm.backward(ctx, std::move(tape), d_y.tensor());
  // The inputs are rounded to float: rows of mean 100 and deviation 1 lose two digits of what they differ by.
  double const tolerance = sizeof(T) == 4 ? (name == "offset" || name == "faint" ? 3e-5 : 2e-6) : 3e-7;
  using attn::testing::allclose;
  EXPECT_SOUND(allclose(y, attn_test::golden(at + "y"), tolerance).about(name + " y"));
  auto const want = attn_test::golden(at + "d_x");
  // Where the variance vanishes, the difference of equal numbers is multiplied by 1/sqrt(epsilon).
  double const amplified = name == "constant" || name == "one_channel" ? 1000 : 0;
  EXPECT_SOUND(allclose(d_x, want, tolerance, amplified).about(name + " d_x"));
  EXPECT_SOUND(allclose(ctx.parameters.host_gradients(ctx.parameters.entry("norm.weight")),
                        attn_test::golden(at + "d_weight"), tolerance)
                   .about(name + " d_weight"));
  EXPECT_SOUND(allclose(ctx.parameters.host_gradients(ctx.parameters.entry("norm.bias")),
                        attn_test::golden(at + "d_bias"), tolerance)
                   .about(name + " d_bias"));
}

TEST(LayerNorm, AgreesWithAnIndependentImplementation) {
  for (char const* name : {"plain", "prime", "long", "one_channel", "constant", "faint", "offset"}) {
    expect_golden<float>(name);
    expect_golden<double>(name);
  }
}

TEST(LayerNorm, AddsToAGradientThatIsThere) {
  Ctx<double> ctx;
  LayerNorm const norm(ctx / "norm", {.width = 13});
  auto const x = attn_test::random_array<double, 2>({5, 13}, 1), d_y = attn_test::random_array<double, 2>({5, 13}, 2);
  auto const sum = attn_test::random_array<double, 2>({5, 13}, 3);
  auto const before = sum.numbers();
  auto first = norm.forward(ctx, x.tensor());
  auto const alone = attn::testing::detail::host_numbers(norm.backward(ctx, std::move(first.tape), d_y.tensor()));
  auto second = norm.forward(ctx, x.tensor());
  norm.backward_add(ctx, std::move(second.tape), d_y.tensor(), sum.tensor());
  std::vector<double> want;
  for (std::size_t i = 0; i < before.size(); ++i) want.push_back(before[i] + alone[i]);
  EXPECT_SOUND(attn::testing::allclose(sum.tensor(), want, 1e-14));
}

TEST(LayerNorm, GivesTheSameBitsForOneThreadAndForAll) {
  auto const x = attn_test::random_array<float, 2>({3001, 61}, 1),
             d_y = attn_test::random_array<float, 2>({3001, 61}, 2);
  std::vector<std::vector<double>> results;
  for (Exec const& exec : {Exec(), attn_test::one_thread()}) {
    Ctx<float> ctx(1, exec);
    LayerNorm const norm(ctx / "norm", {.width = 61});
    auto [y, tape] = norm.forward(ctx, x.tensor());
    norm.backward(ctx, std::move(tape), d_y.tensor());
    results.push_back(attn::testing::detail::host_numbers(ctx.parameters.gradients()));
  }
  EXPECT_SOUND(attn::testing::same_bits(results[1], results[0]));
}

/// The kernels of devices, on teams of whatever the tests run on.
template <class T>
void expect_teams_agree(Index width, Index shift) {
  using namespace attn::nn::detail;
  Index const rows = 9;
  using Numbers = attn_test::Array<T, 1>;
  auto const x = attn_test::random_array<T, 1>({rows * width + shift}, 1),
             d_y = attn_test::random_array<T, 1>({rows * width + shift}, 2);
  auto const weight = attn_test::random_array<float, 1>({width}, 3),
             bias = attn_test::random_array<float, 1>({width}, 4);
  auto const run = [&](auto const& launch) {
    Numbers const y({rows * width + shift}), d_x({rows * width + shift}, d_y.numbers());
    attn_test::Array<float, 1> const statistics({2 * rows});
    float* const s = statistics.tensor().data();
    float const* const w = weight.tensor().data();
    launch(LayerNormForward<T>{x.tensor().data() + shift, w, bias.tensor().data(), y.tensor().data() + shift, s, width,
                               1e-6f});
    launch(LayerNormBackward<T>{x.tensor().data() + shift, d_y.tensor().data() + shift, w, s,
                                d_x.tensor().data() + shift, width, true});
    auto all = y.numbers();
    for (double const d : d_x.numbers()) all.push_back(d);
    return all;
  };
  auto const on_host = run([&](auto const& kernel) { attn::for_rows<T>(Exec(), "host", rows, width, kernel); });
  auto const by_teams = run([&]<class Kernel>(Kernel const& kernel) {
    attn::launch("teams", Kokkos::TeamPolicy<Exec>(Exec(), int(rows), Kokkos::AUTO),
                 attn::detail::TeamOfRow<T, Exec, Kernel>{kernel});
  });
  double const tolerance = attn::is_narrow<T> ? 0x1p-7 : 1e-5;
  EXPECT_SOUND(attn::testing::allclose(by_teams, on_host, tolerance).about(std::to_string(width)));
}

TEST(LayerNorm, ByTeams_IsThatOfHosts_ForRowsOfAnyLengthAndBeginning) {
  for (Index const width : {1, 4, 13, 16, 64, 97}) {
    for (Index const shift : {0, 1, 4}) {
      expect_teams_agree<float>(width, shift);
      expect_teams_agree<attn::BFloat16>(width, shift);
    }
  }
}

TEST(LayerNorm, SaysWhichShapesItWants) {
  Ctx<float> ctx;
  LayerNorm const norm(ctx / "norm", {.width = 4});
  attn_test::Array<float, 2> const wrong({2, 5}), x({2, 4}), d_y({3, 4});
  EXPECT_EQ(attn_test::error_of([&] { norm.forward(ctx, wrong.tensor()); }),
            "LayerNorm::forward: give a tensor of width 4, got 5");
  auto forward = norm.forward(ctx, x.tensor());
  EXPECT_NE(attn_test::error_of([&] { norm.backward(ctx, std::move(forward.tape), d_y.tensor()); }), "");
}

}  // namespace
