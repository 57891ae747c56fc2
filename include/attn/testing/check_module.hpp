/// check_module: does a type keep the promises of a module (attn/nn/module.hpp)?
///
///     attn::nn::Context<Kokkos::DefaultExecutionSpace, double> ctx;
///     MyLayer const layer(ctx / "layer", {.width = 5});
///     auto const verdict = attn::testing::check_module(ctx, layer, {2, 3, 5});
///     if (!verdict) std::cout << verdict.message();
///
/// The input may be any aggregate of tensors (attn/nn/aggregate.hpp): those of double are filled with random numbers
/// and differentiated, others (offsets, identities of words) stay as they are.
#pragma once

#include "attn/core/host_copy.hpp"
#include "attn/nn/module.hpp"
#include "attn/testing/gradcheck.hpp"

#include <string>
#include <type_traits>
#include <vector>

namespace attn::testing {

/// What `check_module` can be told.
struct CheckModuleOptions {
  GradcheckOptions gradients = {};
  bool randomize = true;  ///< replaces the parameters by numbers that are neither zero nor one nor equal
  bool noisy = false;     ///< training draws random numbers, so that evaluation gives something else
};

namespace detail {

/// Of a module's values: the tensors that are differentiated.
template <class T>
inline constexpr bool is_differentiable = false;
template <class T, int Rank, class Memory>
inline constexpr bool is_differentiable<Tensor<T, Rank, Memory>> = std::same_as<std::remove_const_t<T>, double>;

/// The numbers of all differentiable tensors of an aggregate, in their order, on the host.
template <class X>
std::vector<double> numbers_of(X const& x) {
  std::vector<double> numbers;
  nn::for_each_tensor(x, [&]<class Leaf>(Leaf const& leaf) {
    if constexpr (is_differentiable<Leaf>) {
      for (double const number : host_numbers(leaf)) numbers.push_back(number);
    }
  });
  return numbers;
}

/// One module, one input, and the loss sum_i r_i y_i with fixed random r.
template <class Ctx, class M, class Input>
class ModuleCheck {
  using Memory = typename Ctx::MemorySpace;
  static_assert(std::same_as<typename Ctx::Scalar, double>, "check_module: give a context of double");

 public:
  ModuleCheck(Ctx& ctx, M const& module, Input const& like, CheckModuleOptions const& options)
      : ctx_(ctx), module_(module), options_(options), x_(like) {
    nn::for_each_tensor(x_, [&]<class Leaf>(Leaf& leaf) {
      if constexpr (is_differentiable<Leaf>) {
        auto const size = static_cast<std::size_t>(leaf.size());
        double* const to = memory_.emplace_back("attn::testing::check_module", size).data();
        write(to, random(size, memory_.size()));
        leaf = Tensor<double, Leaf::rank, Memory>(to, leaf.extents());
      }
    });
    if (options.randomize) {
      for (auto const& e : ctx.parameters.entries()) {
        auto values = random(std::size_t(e.size), nn::Builder(ctx.parameters, e.name).site());
        for (double& v : values) v *= 0.5;
        ctx.parameters.assign(e, std::span<double const>(values));
      }
    }
  }

  Verdict run() {
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

  static std::vector<double> random(std::size_t n, std::uint64_t use) {
    std::vector<double> values(n);
    for (std::size_t i = 0; i < n; ++i) values[i] = 0.7 * normal<double>(subkey({.seed = 7}, use), i) + 0.1;
    return values;
  }

  static void write(double* to, std::vector<double> const& from) { copy_from_host<Memory>(from, to); }

  std::vector<double> forward() {
    ctx_.begin_step();
    return numbers_of(module_.forward(ctx_, x_).value);
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
      std::vector<double> const r = random(numbers_of(forward.value).size(), 0);
      auto d_y = forward.value;
      std::size_t at = 0;
      nn::for_each_tensor(d_y, [&]<class Leaf>(Leaf& leaf) {
        if constexpr (is_differentiable<Leaf>) {
          auto const to = ctx_.tensor(leaf.extents());
          auto const begin = r.begin() + std::ptrdiff_t(at);
          write(to.data(), std::vector<double>(begin, begin + std::ptrdiff_t(to.size())));
          at += std::size_t(to.size());
          leaf = to;
        }
      });
      if constexpr (requires { module_.backward_input(ctx_, std::move(forward.tape), d_y); }) {
        keep_input_gradient(result, module_.backward_input(ctx_, std::move(forward.tape), d_y));
      } else if constexpr (std::is_void_v<decltype(module_.backward(ctx_, std::move(forward.tape), d_y))>) {
        module_.backward(ctx_, std::move(forward.tape), d_y);
      } else {
        keep_input_gradient(result, module_.backward(ctx_, std::move(forward.tape), d_y));
      }
      result.d_y_changed = numbers_of(d_y) != r;
    }
    result.parameters = host_numbers(ctx_.parameters.gradients());
    return result;
  }

  template <class D>
  void keep_input_gradient(Gradients& result, D const& d_x) {
    has_input_gradient_ = true;
    result.input = numbers_of(d_x);
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
    Verdict verdict;
    if (has_input_gradient_) {
      verdict &= Verdict(g.input.size() == numbers_of(x_).size()
                             ? ""
                             : "backward returns " + std::to_string(g.input.size()) + " numbers for an input of " +
                                   std::to_string(numbers_of(x_).size()));
      if (!verdict) return verdict;
      std::size_t at = 0;
      for (auto const& memory : memory_) {
        std::span<double const> const part(g.input.data() + at, memory.extent(0));
        std::string const which = memory_.size() > 1 ? " tensor " + std::to_string(&memory - memory_.data()) : "";
        verdict &= gradcheck([&](std::size_t i, double shift) { return shifted(memory.data() + i, shift); }, part,
                             options_.gradients)
                       .about("gradient of the input" + which);
        at += memory.extent(0);
      }
    }
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
  std::vector<Kokkos::View<double*, Memory>> memory_;  // of each differentiable tensor of the input
  Input x_;
  bool has_input_gradient_ = false;  // a whole model may leave it out
};

}  // namespace detail

/// Tries a module whose parameters are all of `ctx`'s, on a random input like the given one: the same bits from every
/// call, gradients of the input and of each parameter against finite differences, accumulation, evaluation without a
/// tape, and no new memory in a repeated step. Names what is wrong, a line for each fault.
template <class Exec, class M, class Input>
requires nn::Aggregate<Input> Verdict check_module(nn::Context<Exec, double>& ctx, M const& module, Input const& like,
                                                   CheckModuleOptions const& options = {}) {
  nn::check_module_concept<M, nn::Context<Exec, double>, Input>();
  return detail::ModuleCheck<nn::Context<Exec, double>, M, Input>(ctx, module, like, options).run();
}

/// The same for an input of one tensor of the given shape.
template <class Exec, class M, std::size_t Rank>
Verdict check_module(nn::Context<Exec, double>& ctx, M const& module, Index const (&extents)[Rank],
                     CheckModuleOptions const& options = {}) {
  Extents<int(Rank)> shape{};
  for (std::size_t r = 0; r < Rank; ++r) shape[r] = extents[r];
  return check_module(ctx, module, Tensor<double, int(Rank), typename Exec::memory_space>(nullptr, shape), options);
}

}  // namespace attn::testing
