/// JetPointer: points to a jet whose coefficients lie in planes. It is to a tensor of jets what T* is to one of reals.
///
/// Elements are read and written whole: dereferencing gives a reference that gathers the coefficients where a jet is
/// wanted, and spreads them where one is assigned.
#pragma once

#include "attn/core/concepts.hpp"
#include "attn/core/jet_planes.hpp"

#include <type_traits>

namespace attn {

/// Points to a jet whose coefficients lie apart. J may be const.
template <class J>
class JetPointer {
 public:
  using Value = std::remove_const_t<J>;
  using Element = std::conditional_t<std::is_const_v<J>, RealOf<Value> const, RealOf<Value>>;

  class Reference {
   public:
    ATTN_FUNCTION explicit Reference(JetPointer const& p) : p_(p) {}
    ATTN_FUNCTION operator Value() const { return p_.load(); }
    ATTN_FUNCTION Reference const& operator=(Value const& v) const {
      p_.store(v);
      return *this;
    }
    ATTN_FUNCTION Reference const& operator=(Reference const& other) const { return *this = Value(other); }
    ATTN_FUNCTION Reference const& operator+=(Value const& v) const { return *this = Value(*this) + v; }

   private:
    JetPointer p_;
  };

  JetPointer() = default;
  ATTN_FUNCTION JetPointer(std::nullptr_t) {}
  ATTN_FUNCTION JetPointer(Element* first, Index plane_stride, JetPlanes<Value> const& planes, Index step = 1)
      : first_(first), plane_stride_(plane_stride), step_(step), planes_(planes) {}
  template <class U>
  requires(!std::same_as<U, J> && std::same_as<U const, J>) ATTN_FUNCTION JetPointer(JetPointer<U> const& p)
      : JetPointer(p.first(), p.plane_stride(), p.planes(), p.step()) {}

  ATTN_FUNCTION Element* first() const { return first_; }
  ATTN_FUNCTION Index plane_stride() const { return plane_stride_; }
  /// Reals from one jet to the next: 1 in planes.
  ATTN_FUNCTION Index step() const { return step_; }
  ATTN_FUNCTION JetPlanes<Value> const& planes() const { return planes_; }
  /// The plane of one coefficient; null where it is not kept.
  ATTN_FUNCTION Element* plane(int coefficient) const {
    return planes_[coefficient] < 0 ? nullptr : first_ + planes_[coefficient] * plane_stride_;
  }

  ATTN_FUNCTION Value load() const {
    Value v;
    for (int c = 0; c < Value::size; ++c) {
      Element* const p = plane(c);
      v.coefficients[c] = p == nullptr ? RealOf<Value>(0) : *p;
    }
    return v;
  }
  ATTN_FUNCTION void store(Value const& v) const {
    for (int c = 0; c < Value::size; ++c) {
      if (Element* const p = plane(c); p != nullptr) *p = v.coefficients[c];
    }
  }

  friend ATTN_FUNCTION JetPointer operator+(JetPointer p, Index offset) {
    p.first_ += offset * p.step_;
    return p;
  }
  ATTN_FUNCTION Reference operator[](Index offset) const { return Reference(*this + offset); }
  ATTN_FUNCTION Reference operator*() const { return Reference(*this); }
  friend ATTN_FUNCTION bool operator==(JetPointer const& p, std::nullptr_t) { return p.first_ == nullptr; }

 private:
  Element* first_ = nullptr;
  Index plane_stride_ = 0;
  Index step_ = 1;
  JetPlanes<Value> planes_;
};

/// Where elements of a tensor of `T` begin: what kernels keep, `Pointer<T const> x = tensor.data()`.
template <class T>
struct PointerTrait {
  using type = T*;
};
template <class T>
requires AnyJet<std::remove_const_t<T>>
struct PointerTrait<T> {
  using type = JetPointer<T>;
};
/// What points to elements of T: a plain pointer, or a `JetPointer`.
template <class T>
using Pointer = typename PointerTrait<T>::type;

}  // namespace attn
