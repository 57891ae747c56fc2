#include "attn/nn/batch_norm.hpp"
#include "attn/testing/check_module.hpp"

#include "support.hpp"

namespace {

using attn::Index;
using attn::nn::BatchNorm;
using attn::testing::allclose;
using attn::testing::detail::host_numbers;
using attn_test::Exec;
using attn_test::golden;
template <class T>
using Ctx = attn::nn::Context<Exec, T>;

template <class T>
std::vector<double> buffer(Ctx<T>& ctx, std::string const& name) {
  return host_numbers(ctx.parameters.value(ctx.parameters.buffer_entry("n." + name)));
}

template <class T>
void assign(Ctx<T>& ctx, attn::nn::FlatEntry const& e, std::vector<double> const& values) {
  attn_test::Array<T, 1> const from({e.size}, values);
  T* const to = ctx.parameters.contains(e.name) ? ctx.parameters.value(ctx.parameters.entry(e.name)).data()
                                                : ctx.parameters.value(ctx.parameters.buffer_entry(e.name)).data();
  Kokkos::deep_copy(attn::Tensor<T, 1>(to, {e.size}).view(), from.tensor().view());
}

/// Two steps of training and an evaluation, each with the running statistics that the one before left.
template <class T>
void expect_golden() {
  Ctx<T> ctx;
  BatchNorm const norm(ctx / "n", {.channels = 5});
  double const tolerance = sizeof(T) == 4 ? 3e-6 : 3e-7;
  for (std::string const name : {"batch_norm_first", "batch_norm_second", "batch_norm_evaluation"}) {
    std::string const at = "maps/" + name + "_";
    ctx.training = name != "batch_norm_evaluation";
    ctx.keep_tape = true;
    for (char const* p : {"weight", "bias"}) {
      assign(ctx, ctx.parameters.entry(std::string("n.") + p), golden(at + p));
    }
    ctx.parameters.zero_gradients(ctx.exec);
    auto const x = attn_test::golden_array<T, 4>(at + "x"), d_y = attn_test::golden_array<T, 4>(at + "d_y");
    auto [y, tape] = norm.forward(ctx, x.tensor());
    auto const d_x = norm.backward(ctx, std::move(tape), d_y.tensor());
    EXPECT_SOUND(allclose(y, golden(at + "y"), tolerance).about(name + " y"));
    EXPECT_SOUND(allclose(d_x, golden(at + "d_x"), tolerance).about(name + " d_x"));
    for (char const* p : {"weight", "bias"}) {
      auto const& entry = ctx.parameters.entry(std::string("n.") + p);
      EXPECT_SOUND(
          allclose(ctx.parameters.host_gradients(entry), golden(at + "d_" + p), tolerance).about(name + " d_" + p));
    }
    for (char const* b : {"running_mean", "running_var"}) {
      EXPECT_SOUND(allclose(buffer(ctx, b), golden(at + b), tolerance).about(name + " " + b));
    }
  }
  EXPECT_EQ(buffer(ctx, "num_batches_tracked"), std::vector<double>{2});
}

TEST(BatchNorm, AgreesWithAnIndependentImplementation) {
  expect_golden<float>();
  expect_golden<double>();
}

TEST(BatchNorm, MayBeFrozenWithAnAffineMapThatIsNotTrained) {
  Ctx<double> ctx;
  BatchNorm const norm(ctx / "n", {.channels = 4, .frozen = true, .trains_affine = false});
  EXPECT_EQ(ctx.parameters.count(), 0);
  EXPECT_FALSE(ctx.parameters.contains_buffer("n.num_batches_tracked"));
  std::string const at = "maps/frozen_batch_norm_";
  for (auto const& e : ctx.parameters.buffer_entries()) assign(ctx, e, golden(at + e.name.substr(2)));
  auto const x = attn_test::golden_array<double, 4>(at + "x"), d_y = attn_test::golden_array<double, 4>(at + "d_y");
  auto [y, tape] = norm.forward(ctx, x.tensor());
  EXPECT_SOUND(allclose(y, golden(at + "y"), 3e-7));
  EXPECT_SOUND(allclose(norm.backward(ctx, std::move(tape), d_y.tensor()), golden(at + "d_x"), 3e-7));
  EXPECT_SOUND(allclose(buffer(ctx, "running_mean"), golden(at + "running_mean"), 0));
}

TEST(BatchNorm, IsAModuleForTensorsOfEachRank) {
  Ctx<double> ctx;
  BatchNorm const norm(ctx / "n", {.channels = 19});
  attn::testing::CheckModuleOptions const statistics_differ{.noisy = true};  // in evaluation from those in training
  EXPECT_SOUND(attn::testing::check_module(ctx, norm, {5, 19}, statistics_differ));
  EXPECT_SOUND(attn::testing::check_module(ctx, norm, {2, 2, 3, 19}, statistics_differ));
  ctx.training = false;
  ctx.keep_tape = true;
  EXPECT_SOUND(attn::testing::check_module(ctx, norm, {2, 3, 19}));
}

TEST(BatchNorm, IsAccurateFarFromZero) {
  auto numbers = attn_test::random_numbers(3000, 5);
  for (double& n : numbers) n = 1000 + double(float(n * 0.25));
  attn_test::Array<float, 2> const input({3000, 1}, numbers);
  numbers = input.numbers();
  double mean = 0, variance = 0;
  for (double const n : numbers) mean += n / 3000;
  for (double const n : numbers) variance += (n - mean) * (n - mean) / 3000;
  Ctx<float> ctx;
  BatchNorm const norm(ctx / "n", {.channels = 1, .momentum = 1});
  norm.forward(ctx, input.tensor());
  EXPECT_NEAR(buffer(ctx, "running_mean")[0], mean, 1e-4);
  EXPECT_NEAR(buffer(ctx, "running_var")[0], variance * 3000 / 2999, 1e-6);
}

TEST(BatchNorm, GivesTheSameBitsForOneThreadAndForAll) {
  auto const x = attn_test::random_array<float, 4>({5, 40, 41, 24}, 1);
  std::vector<std::vector<double>> results;
  for (Exec const& exec : {Exec(), attn_test::one_thread()}) {
    Ctx<float> ctx(1, exec);
    BatchNorm const norm(ctx / "n", {.channels = 24});
    auto [y, tape] = norm.forward(ctx, x.tensor());
    norm.backward(ctx, std::move(tape), y);
    results.push_back(host_numbers(y));
    for (double const g : host_numbers(ctx.parameters.gradients())) results.back().push_back(g);
    for (double const b : host_numbers(ctx.parameters.buffers())) results.back().push_back(b);
  }
  EXPECT_SOUND(attn::testing::same_bits(results[1], results[0]));
}

TEST(BatchNorm, SaysWhatIsWrong) {
  Ctx<float> ctx;
  BatchNorm const norm(ctx / "n", {.channels = 3});
  attn_test::Array<float, 4> const one({1, 1, 1, 3}), other({1, 1, 2, 4});
  using attn_test::error_of;
  EXPECT_EQ(error_of([&] { norm.forward(ctx, one.tensor()); }),
            "BatchNorm::forward: give more than one value for each channel in training, got 1");
  EXPECT_EQ(error_of([&] { norm.forward(ctx, other.tensor()); }),
            "BatchNorm::forward: give a contiguous tensor of 3 channels, got 4");
  ctx.training = false;
  EXPECT_EQ(error_of([&] { norm.forward(ctx, one.tensor()); }), "");
}

}  // namespace
