/// Vectors as long as the parameters: dot products, norms and linear combinations, with the same bits for any number of
/// threads.
#pragma once

#include "attn/core/elementwise.hpp"

#include <cmath>

namespace attn::optim::detail {

inline constexpr Index sum_block = 4096;  // numbers that one thread sums, always in the same order

/// The sum of two numbers, or the larger one; a NaN stays.
struct Sum {
  template <class S>
  static ATTN_FUNCTION S add(S a, S b) {
    return a + b;
  }
};
struct Largest {
  template <class S>
  static ATTN_FUNCTION S add(S a, S b) {
    return attn::max(a, b);
  }
};

template <class T>
struct Product : Sum {
  T const* a;
  T const* b;
  template <class Lanes>
  ATTN_FUNCTION auto operator()(Lanes lanes, Index i) const {
    return lanes.load(a + i) * lanes.load(b + i);
  }
};
template <class T, class Reduction>
struct Magnitude : Reduction {
  T const* a;
  template <class Lanes>
  ATTN_FUNCTION auto operator()(Lanes lanes, Index i) const {
    return attn::abs(lanes.load(a + i));
  }
};
/// y += factor x, and the product of the new y with z, in one sweep.
template <class T>
struct AddAndProduct : Sum {
  T* y;
  T const* x;
  T const* z;
  T factor;
  template <class Lanes>
  ATTN_FUNCTION auto operator()(Lanes lanes, Index i) const {
    using S = typename Lanes::Value;
    S const sum = lanes.load(y + i) + S(factor) * lanes.load(x + i);
    lanes.store(y + i, sum);
    return sum * lanes.load(z + i);
  }
};

/// partial[block] = the reduction of a term over a block.
template <class T, class Term, bool OnHost>
struct ReduceBlock {
  Term term;
  Index extent;
  double* partial;

  ATTN_FUNCTION void operator()(Index block) const {
    Index const begin = block * sum_block, end = extent < begin + sum_block ? extent : begin + sum_block;
    if constexpr (OnHost) {
      double all = 0;
      using S = typename HostLanes<T>::Value;
      S total(T(0));
      for_lanes<T>(begin, end, [&](auto lanes, Index i) {
        // idle lanes load zeros, and leave the total as it is
        total = Term::add(total, S(term(lanes, i)));
      });
      if constexpr (std::is_same_v<S, T>) {
        all = double(total);
      } else {
        for (int lane = 0; lane < S::width; ++lane) all = Term::add(all, double(total[lane]));
      }
      partial[block] = all;
    } else {
      double total = 0;
      for (Index i = begin; i < end; ++i) total = Term::add(total, double(term(OneLane<T>{}, i)));
      partial[block] = total;
    }
  }
};

/// to = a x + b y
template <class T>
struct Combination {
  T* to;
  T a;
  T const* x;
  T b;
  T const* y;
  template <class Lanes>
  ATTN_FUNCTION void operator()(Lanes lanes, Index, Index i) const {
    using S = typename Lanes::Value;
    lanes.store(to + i, S(a) * lanes.load(x + i) + S(b) * lanes.load(y + i));
  }
};

/// Operations on vectors of `extent` numbers in the memory of `Exec`. Those that return a number wait for it.
template <Real T, ExecutionSpace Exec>
class FlatVectors {
  using Memory = typename Exec::memory_space;

 public:
  FlatVectors(Exec const& exec, Index extent)
      : exec_(exec),
        extent_(extent),
        partial_("attn::optim::partial", std::size_t((extent + sum_block - 1) / sum_block)),
        host_("attn::optim::partial", partial_.extent(0)) {}

  Index extent() const { return extent_; }

  double dot(T const* a, T const* b) { return total(Product<T>{{}, a, b}); }
  double sum_of_magnitudes(T const* a) { return total(Magnitude<T, Sum>{{}, a}); }
  double largest_magnitude(T const* a) { return total(Magnitude<T, Largest>{{}, a}); }
  /// y += factor x; returns y.z
  double add_and_dot(T* y, double factor, T const* x, T const* z) {
    return total(AddAndProduct<T>{{}, y, x, z, T(factor)});
  }
  /// to = a x + b y
  void combine(T* to, double a, T const* x, double b, T const* y) {
    elementwise<T>(exec_, "attn::optim::combine", 1, extent_, Combination<T>{to, T(a), x, T(b), y});
  }
  void copy(T* to, T const* from) {
    using Unmanaged = Kokkos::MemoryTraits<Kokkos::Unmanaged>;
    Kokkos::deep_copy(exec_, Kokkos::View<T*, Memory, Unmanaged>(to, std::size_t(extent_)),
                      Kokkos::View<T const*, Memory, Unmanaged>(from, std::size_t(extent_)));
  }

 private:
  template <class Term>
  double total(Term const& term) {
    ReduceBlock<T, Term, HostExecutionSpace<Exec>> const reduce{term, extent_, partial_.data()};
    Index const blocks = Index(partial_.extent(0));
    if constexpr (HostExecutionSpace<Exec>) {
      for_blocks(exec_, "attn::optim::sum", blocks, reduce);
    } else {
      attn::launch("attn::optim::sum", Kokkos::RangePolicy<Exec, Kokkos::IndexType<Index>>(exec_, 0, blocks), reduce);
    }
    Kokkos::deep_copy(exec_, host_, partial_);
    exec_.fence("attn::optim::sum");
    double all = 0;
    for (std::size_t b = 0; b < host_.extent(0); ++b) all = Term::add(all, host_(b));
    return all;
  }

  Exec exec_;
  Index extent_;
  Kokkos::View<double*, Memory> partial_;
  Kokkos::View<double*, Kokkos::HostSpace> host_;
};

}  // namespace attn::optim::detail
