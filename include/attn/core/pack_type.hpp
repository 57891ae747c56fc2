/// Pack<T, W>: W reals that are computed with as one scalar, in the registers of the host's vector unit.
///
/// Host kernels put W queries (or W rows of a tensor) into the lanes of a pack and call the same policies and modules
/// as a scalar kernel would. The compiler's vector extension makes it portable: AVX-512, AVX2, SSE2 and NEON come from
/// the same source, and a width that the machine lacks is split.
#pragma once

#include "attn/core/scalar.hpp"

#include <concepts>
#include <cstring>

namespace attn {

/// Bytes of the host's widest vector register, as the compiler was told.
#if defined(__AVX512F__)
inline constexpr int vector_bytes = 64;
#elif defined(__AVX__)
inline constexpr int vector_bytes = 32;
#else
inline constexpr int vector_bytes = 16;
#endif

/// A vector register of W numbers; arithmetic acts on each lane.
template <Real T, int W = vector_bytes / int(sizeof(T))>
struct Pack {
  static constexpr int width = W;
  typedef T Vector __attribute__((vector_size(W * sizeof(T))));  // an alias would lose the attribute in g++ 12

  Vector lanes;

  Pack() = default;
  Pack(Vector v) : lanes(v) {}
  template <class Number>
  requires std::is_arithmetic_v<Number>
  explicit(!std::same_as<Number, T>) Pack(Number value)
      : lanes(static_cast<T>(value) - Vector{}) {}  // minus zero: the one broadcast that keeps -0

  static Pack load(T const* p) {
    Pack r;
    std::memcpy(&r.lanes, p, sizeof r.lanes);
    return r;
  }
  /// Of numbers of another type.
  template <Real U>
  requires(!std::same_as<U, T>) static Pack load(U const* p) {
    return __builtin_convertvector(Pack<U, W>::load(p).lanes, Vector);
  }
  void store(T* p) const { std::memcpy(p, &lanes, sizeof lanes); }
  /// The first `n` lanes of an array that ends there; the others become zero.
  static Pack load(T const* p, int n) {
    Pack r(T(0));
    std::memcpy(&r.lanes, p, sizeof(T) * static_cast<std::size_t>(n));
    return r;
  }
  void store(T* p, int n) const { std::memcpy(p, &lanes, sizeof(T) * static_cast<std::size_t>(n)); }

  T operator[](int i) const { return lanes[i]; }

  Pack operator-() const { return -lanes; }
  Pack& operator+=(Pack b) {
    lanes += b.lanes;
    return *this;
  }
  Pack& operator-=(Pack b) {
    lanes -= b.lanes;
    return *this;
  }
  Pack& operator*=(Pack b) {
    lanes *= b.lanes;
    return *this;
  }
  Pack& operator/=(Pack b) {
    lanes /= b.lanes;
    return *this;
  }
  friend Pack operator+(Pack a, Pack b) { return a.lanes + b.lanes; }
  friend Pack operator-(Pack a, Pack b) { return a.lanes - b.lanes; }
  friend Pack operator*(Pack a, Pack b) { return a.lanes * b.lanes; }
  friend Pack operator/(Pack a, Pack b) { return a.lanes / b.lanes; }
};

template <class T, int W>
struct RealOfTrait<Pack<T, W>> {
  using type = T;
};

/// The sum of the lanes, always in the same order.
template <Real T>
T sum(T a) {
  return a;
}
/// The sum of all lanes, in their order.
template <class T, int W>
T sum(Pack<T, W> a) {
  T total = 0;
  for (int i = 0; i < W; ++i) total += a[i];
  return total;
}

}  // namespace attn
