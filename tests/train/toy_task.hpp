// A task for `fit` that needs no network: a linear map is fitted to another one. Its data depend on the step alone.
#pragma once

#include "attn/core/narrow.hpp"
#include "attn/nn/context.hpp"
#include "attn/train/metrics.hpp"

#include <gtest/gtest.h>

#include <csignal>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <limits>
#include <string>
#include <vector>

namespace attn::train::toy {

using Ctx = nn::Context<Kokkos::DefaultExecutionSpace>;

/// loss = |(w - target) x|^2 / 2 for a random x, with w (outputs, inputs); one thread does it all.
/// Where losses are scaled, gradients of y are numbers of fp16, which overflow.
struct LinearStep {
  float const* w;
  float* d_w;
  float* loss;
  RandomKey key;
  Index outputs, inputs;
  nn::LossScaleNumbers const* loss_scale;

  ATTN_FUNCTION void operator()(int) const {
    *loss = 0;
    for (Index i = 0; i < outputs; ++i) {
      float y = 0;
      for (Index j = 0; j < inputs; ++j) y += (w[i * inputs + j] - 1.0f) * x(j);
      float const scaled = loss_scale == nullptr ? y : float(Float16(y * float(loss_scale->scale)));
      for (Index j = 0; j < inputs; ++j) d_w[i * inputs + j] += scaled * x(j);
      *loss += 0.5f * y * y;
    }
    loss[1] = *loss;
  }
  ATTN_FUNCTION float x(Index j) const { return attn::normal<float>(key, static_cast<std::uint64_t>(j)); }
};

struct Task {
  static constexpr Index outputs = 7, inputs = 5;

  explicit Task(Ctx& ctx) : w(nn::Builder(ctx).add<2>("head.weight", {outputs, inputs}, nn::normal(1))) {
    nn::Builder(ctx).add<1>("head.bias", {outputs}, nn::zeros());
    nn::Builder(ctx).add_buffer<1>("norm.running_var", {outputs}, nn::ones());
  }

  nn::Parameter<2> w;
  std::uint64_t parts = 1;                                                     // of a step
  std::uint64_t next = 0;                                                      // part
  std::uint64_t interrupt_before = std::numeric_limits<std::uint64_t>::max();  // raises SIGINT in this step
  std::uint64_t loss_breaks_in = std::numeric_limits<std::uint64_t>::max();
  std::uint64_t gradient_breaks_in = std::numeric_limits<std::uint64_t>::max();
  std::vector<std::uint64_t> steps = {};  // that were asked for
  int evaluations = 0;
  bool was_observed = false;

  std::uint64_t steps_per_epoch() const { return 6; }
  std::uint64_t items_per_step() const { return 10; }
  void start(std::uint64_t step) { next = step * parts; }

  Tensor<float const, 1> step(Ctx& ctx, bool observe) {
    steps.push_back(next);
    was_observed = observe;
    if (next == interrupt_before) std::raise(SIGINT);
    auto const loss = ctx.tensor<float>(2);
    LinearStep const kernel{ctx.parameters.value(w).data(),
                            ctx.parameters.gradient(w).data(),
                            loss.data(),
                            subkey(ctx.random, next),
                            outputs,
                            inputs,
                            ctx.loss_scale};
    Kokkos::parallel_for(Kokkos::RangePolicy<Ctx::Space>(ctx.exec, 0, 1), kernel);
    float const nan = std::numeric_limits<float>::quiet_NaN();
    if (next == loss_breaks_in) Kokkos::deep_copy(ctx.exec, loss.view(), nan);
    if (next == gradient_breaks_in) Kokkos::deep_copy(ctx.exec, ctx.parameters.gradient(w).view(), nan);
    ++next;
    return loss;
  }
  Metrics measured() const { return {{"loss", 1}, {"twice", 2}}; }
  Metrics observations() const {
    EXPECT_TRUE(was_observed);
    return {{"seen", static_cast<double>(next)}};
  }
  Metrics evaluate(Ctx& ctx) {
    ++evaluations;
    EXPECT_FALSE(ctx.training);
    double sum = 0;
    for (float const v : ctx.parameters.host_values(ctx.parameters.entry("head.weight"))) sum += (v - 1) * (v - 1);
    return {{"distance", std::sqrt(sum)}};
  }
  std::vector<std::string> observed() const { return {"seen"}; }
  std::vector<std::string> evaluated() const { return {"distance"}; }
};

inline std::string bytes_of(std::filesystem::path const& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

/// A directory of one test that goes with it.
struct Folder {
  std::filesystem::path path;

  explicit Folder(std::string const& name)
      : path(std::filesystem::temp_directory_path() / ("attn_" + name + "_" + std::to_string(::getpid()))) {
    std::filesystem::remove_all(path);
    std::filesystem::create_directories(path);
  }
  ~Folder() {
    std::error_code ignored;
    std::filesystem::remove_all(path, ignored);
  }
};

}  // namespace attn::train::toy
