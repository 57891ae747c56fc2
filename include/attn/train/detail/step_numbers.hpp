/// StepNumbers: what steps measured, kept where they run until somebody waits for it.
#pragma once

#include "attn/core/host_copy.hpp"
#include "attn/core/launch.hpp"

#include <cstdint>
#include <utility>
#include <vector>

namespace attn::train::detail {

template <class T>
struct KeepNumbers {
  T const* numbers;
  double const* norm;
  double* to;
  Index n;
  ATTN_FUNCTION void operator()(Index i) const { to[i] = i < n ? static_cast<double>(numbers[i]) : *norm; }
};

/// Numbers and the gradient's norm of up to `capacity` steps.
template <class Ctx>
class StepNumbers {
  using Memory = typename Ctx::MemorySpace;

 public:
  struct Entry {
    std::uint64_t step;
    std::vector<double> numbers;
    double norm;
  };

  explicit StepNumbers(std::uint64_t capacity) : capacity_(capacity) {}

  bool full() const { return steps_.size() >= capacity_; }

  /// Asynchronous on `ctx.exec`. Not beyond the capacity.
  void keep(Ctx& ctx, std::uint64_t step, Tensor<typename Ctx::Real const, 1, Memory> const& numbers,
            Tensor<double const, 1, Memory> const& norm) {
    Index const n = numbers.extent(0), width = n + 1;
    if (kept_.extent(0) == 0) {
      kept_ = Kokkos::View<double*, Memory>("attn::train::StepNumbers", capacity_ * std::uint64_t(width));
      width_ = width;
    }
    using Policy = Kokkos::RangePolicy<typename Ctx::Space, Kokkos::IndexType<Index>>;
    attn::launch(
        "attn::train::StepNumbers", Policy(ctx.exec, 0, width),
        KeepNumbers<typename Ctx::Real>{numbers.data(), norm.data(), kept_.data() + Index(steps_.size()) * width, n});
    steps_.push_back(step);
  }

  /// All that is kept, in the order of the steps, which are forgotten here. Waits, if there is any.
  std::vector<Entry> take(Ctx& ctx) {
    std::vector<Entry> entries;
    if (steps_.empty()) return entries;
    auto const width = static_cast<std::size_t>(width_);
    using Unmanaged = Kokkos::MemoryTraits<Kokkos::Unmanaged>;
    std::vector<double> all(steps_.size() * width);
    if constexpr (HostExecutionSpace<typename Ctx::Space>) {
      ctx.exec.fence("attn::train::fit");
      all.assign(kept_.data(), kept_.data() + all.size());
    } else {
      Kokkos::deep_copy(ctx.exec, Kokkos::View<double*, Kokkos::HostSpace, Unmanaged>(all.data(), all.size()),
                        Kokkos::View<double const*, Memory, Unmanaged>(kept_.data(), all.size()));
      ctx.exec.fence("attn::train::fit");
    }
    for (std::size_t i = 0; i < steps_.size(); ++i) {
      auto const first = all.begin() + std::ptrdiff_t(i * width), last = first + std::ptrdiff_t(width) - 1;
      entries.push_back({steps_[i], {first, last}, *last});
    }
    steps_.clear();
    return entries;
  }

 private:
  std::uint64_t capacity_;
  Index width_ = 0;
  std::vector<std::uint64_t> steps_;  // of what is kept
  Kokkos::View<double*, Memory> kept_;
};

}  // namespace attn::train::detail
