/// Accumulator: a step in parts. Sums what the parts measured, and makes means of their gradients.
#pragma once

#include "attn/core/elementwise.hpp"
#include "attn/core/tensor.hpp"

#include <cstdint>

namespace attn::train::detail {

template <class T>
struct AddNumbers {
  T const* from;
  T* to;
  bool first;
  ATTN_FUNCTION void operator()(Index i) const { to[i] = first ? from[i] : to[i] + from[i]; }
};

template <class T>
struct ScaleAll {
  T* x;
  T factor;
  template <class Lanes>
  ATTN_FUNCTION void operator()(Lanes lanes, Index, Index i) const {
    lanes.store(x + i, lanes.load(x + i) * typename Lanes::Value(factor));
  }
};

template <class Ctx>
class Accumulator {
 public:
  using T = typename Ctx::Real;
  using Numbers = Tensor<T const, 1, typename Ctx::MemorySpace>;

  explicit Accumulator(std::uint64_t parts) : parts_(parts) {}

  /// Adds the numbers of part 0, 1, ... Returns the sums so far. Waits for each part but the last, because the data of
  /// the next may be loaded over its data.
  Numbers add(Ctx& ctx, std::uint64_t part, Numbers const& numbers) {
    if (parts_ == 1) return numbers;
    if (sums_.extent(0) == 0) {
      sums_ = Kokkos::View<T*, typename Ctx::MemorySpace>("attn::train::Accumulator",
                                                          static_cast<std::size_t>(numbers.extent(0)));
    }
    using Policy = Kokkos::RangePolicy<typename Ctx::Space, Kokkos::IndexType<Index>>;
    attn::launch("attn::train::Accumulator", Policy(ctx.exec, 0, numbers.extent(0)),
                 AddNumbers<T>{numbers.data(), sums_.data(), part == 0});
    if (part + 1 < parts_) ctx.exec.fence("attn::train::Accumulator");
    return {sums_.data(), {numbers.extent(0)}};
  }

  /// The sum of the parts' gradients becomes their mean: where the parts are a power of two, the same bits as if each
  /// part had been divided before.
  void average_gradients(Ctx& ctx) const {
    if (parts_ == 1) return;
    elementwise<T>(ctx.exec, "attn::train::Accumulator", 1, ctx.parameters.extent(),
                   ScaleAll<T>{ctx.parameters.gradients().data(), T(1) / T(parts_)});
  }

 private:
  std::uint64_t parts_;
  Kokkos::View<T*, typename Ctx::MemorySpace> sums_;
};

}  // namespace attn::train::detail
