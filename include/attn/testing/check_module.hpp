/// check_module: does a type keep the promises of a module (attn/nn/module.hpp)?
///
///     attn::nn::Context<Kokkos::DefaultExecutionSpace, double> ctx;
///     MyLayer const layer(ctx / "layer", {.width = 5});
///     auto const verdict = attn::testing::check_module(ctx, layer, {2, 3, 5});
///     if (!verdict) std::cout << verdict.message();
#pragma once

#include "attn/nn/module.hpp"
#include "attn/testing/gradcheck.hpp"

#include <string>

namespace attn::testing {

struct CheckModuleOptions {
  GradcheckOptions gradients = {};
  bool randomize = true;  ///< replaces the parameters by numbers that are neither zero nor one nor equal
  bool noisy = false;     ///< training draws random numbers, so that evaluation gives something else
};

namespace detail {

/// One module, one input, and the loss sum_i r_i y_i with fixed random r.
template <class Ctx, class M, int Rank>
class ModuleCheck {
  using Memory = typename Ctx::MemorySpace;
  using Input = Tensor<double, Rank, Memory>;
  static_assert(std::same_as<typename Ctx::Scalar, double>, "check_module: give a context of double");

 public:
  ModuleCheck(Ctx& ctx, M const& module, Extents<Rank> const& extents, CheckModuleOptions const& options)
      : ctx_(ctx), module_(module), options_(options), memory_("x", size_of(extents)), x_(memory_.data(), extents) {
    write(memory_.data(), random(memory_.extent(0), 1));
    if (options.randomize) {
      for (auto const& e : ctx.parameters.entries()) {
        auto values = random(std::size_t(e.size), nn::Builder(ctx.parameters, e.name).site());
        for (double& v : values) v *= 0.5;
        ctx.parameters.assign(e, std::span<double const>(values));
      }
    }
  }

  Verdict run() {
    nn::check_module_concept<M, Ctx, Input>();
    Verdict verdict;
    auto const y = forward();
    verdict &= same_bits(forward(), y).about("forward twice");
    auto const first = gradients(1);
    auto const second = gradients(1);
    verdict &= same_bits(second.parameters, first.parameters).about("gradients of parameters twice");
    verdict &= same_bits(second.input, first.input).about("gradient of the input twice");
    verdict &= Verdict(first.d_y_changed ? "backward changes d_y" : "");
    std::vector<double> twice;
    for (double const g : first.parameters) twice.push_back(2 * g);
    verdict &= allclose(gradients(2).parameters, twice, 1e-13).about("gradients of parameters do not accumulate");
    if (!options_.noisy) verdict &= evaluation(y);
    verdict &= differences(first);
    verdict &= memory();
    return verdict;
  }

 private:
  struct Gradients {
    std::vector<double> input, parameters;
    bool d_y_changed = false;
  };

  static std::size_t size_of(Extents<Rank> const& extents) { return std::size_t(Input(nullptr, extents).size()); }

  static std::vector<double> random(std::size_t n, std::uint64_t use) {
    std::vector<double> values(n);
    for (std::size_t i = 0; i < n; ++i) values[i] = 0.7 * normal<double>(subkey({.seed = 7}, use), i) + 0.1;
    return values;
  }

  static void write(double* to, std::vector<double> const& from) {
    using Unmanaged = Kokkos::MemoryTraits<Kokkos::Unmanaged>;
    Kokkos::deep_copy(Kokkos::View<double*, Memory, Unmanaged>(to, from.size()),
                      Kokkos::View<double const*, Kokkos::HostSpace, Unmanaged>(from.data(), from.size()));
  }

  std::vector<double> forward() {
    ctx_.begin_step();
    return host_numbers(module_.forward(ctx_, x_).value);
  }

  double loss() {
    auto const y = forward();
    auto const r = random(y.size(), 0);
    double sum = 0;
    for (std::size_t i = 0; i < y.size(); ++i) sum += r[i] * y[i];
    return sum;
  }

  /// The gradients after `times` backward passes.
  Gradients gradients(int times) {
    Gradients result;
    ctx_.parameters.zero_gradients(ctx_.exec);
    for (int t = 0; t < times; ++t) {
      ctx_.begin_step();
      auto forward = module_.forward(ctx_, x_);
      auto const d_y = ctx_.tensor(forward.value.extents());
      auto const r = random(std::size_t(d_y.size()), 0);
      write(d_y.data(), r);
      if constexpr (requires { module_.backward_input(ctx_, std::move(forward.tape), d_y); }) {
        result.input = host_numbers(module_.backward_input(ctx_, std::move(forward.tape), d_y));
      } else {
        result.input = host_numbers(module_.backward(ctx_, std::move(forward.tape), d_y));
      }
      result.d_y_changed = host_numbers(d_y) != r;
    }
    result.parameters = host_numbers(ctx_.parameters.gradients());
    return result;
  }

  /// In evaluation the result is that of training, up to rounding, and there is nothing to go back on.
  Verdict evaluation(std::vector<double> const& y) {
    bool const training = ctx_.training, keep_tape = ctx_.keep_tape;
    ctx_.training = ctx_.keep_tape = false;
    Verdict verdict = allclose(forward(), y, 1e-12).about("forward in evaluation");
    ctx_.training = training;
    ctx_.keep_tape = keep_tape;
    return verdict;
  }

  Verdict differences(Gradients const& g) {
    Verdict verdict = gradcheck([&](std::size_t i, double shift) { return shifted(memory_.data() + i, shift); },
                                g.input, options_.gradients)
                          .about("gradient of the input");
    for (auto const& e : ctx_.parameters.entries()) {
      std::span<double const> const part(g.parameters.data() + e.offset, std::size_t(e.size));
      verdict &=
          gradcheck([&](std::size_t i, double shift) { return shifted(ctx_.parameters.value(e).data() + i, shift); },
                    part, options_.gradients)
              .about("gradient of " + e.name);
    }
    return verdict;
  }

  double shifted(double* at, double shift) {
    using Unmanaged = Kokkos::MemoryTraits<Kokkos::Unmanaged>;
    Kokkos::View<double, Memory, Unmanaged> const element(at);
    double before = 0;
    Kokkos::deep_copy(before, element);
    Kokkos::deep_copy(element, before + shift);
    double const result = loss();
    Kokkos::deep_copy(element, before);
    return result;
  }

  Verdict memory() {
    std::size_t const before = ctx_.workspace.capacity();
    gradients(1);
    return Verdict(ctx_.workspace.capacity() == before ? "" : "a repeated step takes more memory");
  }

  Ctx& ctx_;
  M const& module_;
  CheckModuleOptions options_;
  Kokkos::View<double*, Memory> memory_;
  Input x_;
};

}  // namespace detail

/// Tries a module whose parameters are all of `ctx`'s, on a random input of the given shape: the same bits from every
/// call, gradients of the input and of each parameter against finite differences, accumulation, evaluation without a
/// tape, and no new memory in a repeated step. Names what is wrong, a line for each fault.
template <class Exec, class M, std::size_t Rank>
Verdict check_module(nn::Context<Exec, double>& ctx, M const& module, Index const (&extents)[Rank],
                     CheckModuleOptions const& options = {}) {
  Extents<int(Rank)> shape{};
  for (std::size_t r = 0; r < Rank; ++r) shape[r] = extents[r];
  return detail::ModuleCheck<nn::Context<Exec, double>, M, int(Rank)>(ctx, module, shape, options).run();
}

}  // namespace attn::testing
