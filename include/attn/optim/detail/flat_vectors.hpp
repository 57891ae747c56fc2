/// Vectors as long as the parameters: dot products, norms and linear combinations, with the same bits for any number of
/// threads.
#pragma once

#include "attn/optim/detail/elementwise.hpp"

#include <cmath>

namespace attn::optim::detail {

/// Granules that are summed by one thread, always in the same order.
inline constexpr Index granules_of_block = 256;

template <class T, class Term>
struct SumOfBlock {
  Term term;
  Index extent;
  double* partial;

  ATTN_FUNCTION void operator()(Index block) const {
    Index const begin = block * granules_of_block * granule;
    Index const end = extent < begin + granules_of_block * granule ? extent : begin + granules_of_block * granule;
    if constexpr (Term::on_host) {
      using S = Pack<T, std::min(int(granule), Pack<T>::width)>;
      S total(T(0));
      for (Index i = begin; i < end; i += S::width) total = term.add(total, term.template at<S>(i));
      double all = 0;
      for (int lane = 0; lane < S::width; ++lane) all = term.add(all, double(total[lane]));
      partial[block] = all;
    } else {
      double total = 0;
      for (Index i = begin; i < end; ++i) total = term.add(total, double(term.template at<T>(i)));
      partial[block] = total;
    }
  }
};

template <bool OnHost>
struct Sum {
  static constexpr bool on_host = OnHost;
  template <class S>
  static ATTN_FUNCTION S add(S a, S b) {
    return a + b;
  }
};
template <bool OnHost>
struct Largest {
  static constexpr bool on_host = OnHost;
  /// NaN stays: it is neither greater nor smaller.
  template <class S>
  static ATTN_FUNCTION S add(S a, S b) {
    return where_greater(a, b, a, b);
  }
};

template <class T, bool OnHost>
struct Product : Sum<OnHost> {
  T const* a;
  T const* b;
  template <class S>
  ATTN_FUNCTION S at(Index i) const {
    return load<S>(a + i) * load<S>(b + i);
  }
};
template <class T, class Reduction>
struct Magnitude : Reduction {
  T const* a;
  template <class S>
  ATTN_FUNCTION S at(Index i) const {
    return attn::abs(load<S>(a + i));
  }
};
/// y += factor x, and the product of the new y with z, in one sweep.
template <class T, bool OnHost>
struct AddAndProduct : Sum<OnHost> {
  T* y;
  T const* x;
  T const* z;
  T factor;
  template <class S>
  ATTN_FUNCTION S at(Index i) const {
    S const sum = load<S>(y + i) + S(factor) * load<S>(x + i);
    store(y + i, sum);
    return sum * load<S>(z + i);
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
  template <class S>
  ATTN_FUNCTION void at(Index i) const {
    store(to + i, S(a) * load<S>(x + i) + S(b) * load<S>(y + i));
  }
};

/// Operations on vectors of `extent` numbers (a multiple of the granule) in the memory of `Exec`. Those that return a
/// number wait for it.
template <Real T, ExecutionSpace Exec>
class FlatVectors {
  static constexpr bool on_host = HostExecutionSpace<Exec>;
  using Memory = typename Exec::memory_space;

 public:
  FlatVectors(Exec const& exec, Index extent)
      : exec_(exec),
        extent_(extent),
        partial_("attn::optim::partial",
                 std::size_t((extent + granules_of_block * granule - 1) / (granules_of_block * granule))),
        host_("attn::optim::partial", partial_.extent(0)) {}

  Index extent() const { return extent_; }

  double dot(T const* a, T const* b) { return total(Product<T, on_host>{{}, a, b}); }
  double sum_of_magnitudes(T const* a) { return total(Magnitude<T, Sum<on_host>>{{}, a}); }
  double largest_magnitude(T const* a) { return total(Magnitude<T, Largest<on_host>>{{}, a}); }
  /// y += factor x; returns y.z
  double add_and_dot(T* y, double factor, T const* x, T const* z) {
    return total(AddAndProduct<T, on_host>{{}, y, x, z, T(factor)});
  }
  /// to = a x + b y
  void combine(T* to, double a, T const* x, double b, T const* y) {
    for_each_element<T>(exec_, "attn::optim::combine", extent_, Combination<T>{to, T(a), x, T(b), y});
  }
  void copy(T* to, T const* from) {
    using Unmanaged = Kokkos::MemoryTraits<Kokkos::Unmanaged>;
    Kokkos::deep_copy(exec_, Kokkos::View<T*, Memory, Unmanaged>(to, std::size_t(extent_)),
                      Kokkos::View<T const*, Memory, Unmanaged>(from, std::size_t(extent_)));
  }

 private:
  template <class Term>
  double total(Term const& term) {
    using Policy = Kokkos::RangePolicy<Exec, Kokkos::IndexType<Index>>;
    Kokkos::parallel_for("attn::optim::sum", Policy(exec_, 0, Index(partial_.extent(0))),
                         SumOfBlock<T, Term>{term, extent_, partial_.data()});
    Kokkos::deep_copy(exec_, host_, partial_);
    exec_.fence("attn::optim::sum");
    double all = 0;
    for (std::size_t b = 0; b < host_.extent(0); ++b) all = term.add(all, host_(b));
    return all;
  }

  Exec exec_;
  Index extent_;
  Kokkos::View<double*, Memory> partial_;
  Kokkos::View<double*, Kokkos::HostSpace> host_;
};

}  // namespace attn::optim::detail
