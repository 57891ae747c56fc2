/// What every entry point of attention checks before a kernel reads or writes: shapes, by-products, overlaps.
#pragma once

#include "attn/activation/slope.hpp"
#include "attn/attention/options.hpp"
#include "attn/attention/saved.hpp"
#include "attn/core/overlap.hpp"

#include <limits>

namespace attn::detail {

/// What is computed with, for tensors that hold narrower numbers too.
template <class X>
using PrecisionOf = RealOf<AccumulatorOf<typename X::Scalar>>;

/// What every entry point checks about shapes; H must be a multiple of H_kv.
template <class Q, class K, class V, class O>
void check_attention(char const* function, Q const& q, K const& k, V const& v, O const& out) {
  static_assert(Q::rank == 4 && K::rank == 4 && V::rank == 4 && O::rank == 4,
                "attention: pass q, k, v and out as tensors or views of rank 4: (batch, heads, tokens, width)");
  static_assert(std::same_as<PrecisionOf<Q>, PrecisionOf<K>> && std::same_as<PrecisionOf<Q>, PrecisionOf<V>> &&
                    std::same_as<PrecisionOf<Q>, PrecisionOf<O>>,
                "attention: give q, k, v and out of one precision, all of double or all of float and narrower numbers");
  auto const shape = [](auto const& t) {
    std::ostringstream s;
    s << "(" << t.extent(0) << ", " << t.extent(1) << ", " << t.extent(2) << ", " << t.extent(3) << ")";
    return s.str();
  };
  ATTN_CHECK(q.extent(0) == k.extent(0) && k.extent(0) == v.extent(0) && v.extent(0) == out.extent(0), function,
             ": give q, k, v and out the same batch size; got q ", shape(q), ", k ", shape(k), ", v ", shape(v),
             ", out ", shape(out));
  ATTN_CHECK(q.extent(3) == k.extent(3), function, ": give q and k the same width D; got q ", shape(q), ", k ",
             shape(k));
  ATTN_CHECK(k.extent(1) == v.extent(1) && k.extent(2) == v.extent(2), function,
             ": give k and v the same heads and keys; got k ", shape(k), ", v ", shape(v));
  ATTN_CHECK(k.extent(1) > 0 ? q.extent(1) % k.extent(1) == 0 : q.extent(1) == 0, function,
             ": make the query heads a multiple of the key heads; got q ", shape(q), ", k ", shape(k));
  ATTN_CHECK(out.extent(1) == q.extent(1) && out.extent(2) == q.extent(2) && out.extent(3) == v.extent(3), function,
             ": out must be (B, H, N, E); got q ", shape(q), ", v ", shape(v), ", out ", shape(out));
  auto const check_extents = [&](char const* name, auto const& t) {
    constexpr Index most = std::numeric_limits<int>::max() - 1024;  // indices of tiles reach beyond the last row
    ATTN_CHECK(t.extent(2) <= most && t.extent(3) <= most, function, ": give ", name, " at most ", most,
               " tokens and columns; got ", shape(t));
  };
  check_extents("q", q);
  check_extents("k", k);
  check_extents("v", v);
  auto const check_stride = [&](char const* name, auto const& t) {
    ATTN_CHECK(t.stride(3) == 1 || t.extent(3) <= 1 || t.size() == 0, function, ": give ", name,
               " a last stride of 1 (a LayoutRight view has it); got ", t.stride(3));
  };
  check_stride("q", q);
  check_stride("k", k);
  check_stride("v", v);
  check_stride("out", out);
}

template <class T, class Memory, class Q, class K>
void check_bias(char const*, NoBias const&, Q const&, K const&) {}
template <class T, class Memory, class R, class BiasMemory, class Q, class K>
void check_bias(char const* function, ScoreBias<R, BiasMemory> const& bias, Q const& q, K const& k) {
  static_assert(std::same_as<R, T> && std::same_as<BiasMemory, Memory>,
                "attention: give a ScoreBias in the memory of q, and of double for tensors of double, of float for "
                "others; jets take none");
  auto const check = [&](char const* name, auto const& x) {
    ATTN_CHECK(x.extent(2) == q.extent(2) && x.extent(3) == k.extent(2), function, ": give the bias's ", name,
               " a shape of (., ., ", q.extent(2), ", ", k.extent(2), "), got (., ., ", x.extent(2), ", ", x.extent(3),
               ")");
    ATTN_CHECK(x.extent(0) > 0 && q.extent(0) % x.extent(0) == 0 && (x.extent(1) == 1 || x.extent(1) == q.extent(1)),
               function, ": give the bias's ", name, " a batch that divides ", q.extent(0), " and 1 or ", q.extent(1),
               " heads, got (", x.extent(0), ", ", x.extent(1), ")");
    ATTN_CHECK(x.stride(3) == 1 || x.extent(3) <= 1, function, ": give the bias's ", name, " a last stride of 1; got ",
               x.stride(3));
  };
  check("values", bias.values);
  if (bias.gradient.data() != nullptr) check("gradient", bias.gradient);
}

template <class T>
void check_dropout(char const*, NoDropout const&) {}
template <class T>
void check_dropout(char const* function, AttentionDropout const& dropout) {
  ATTN_CHECK(dropout.rate >= 0 && dropout.rate < 1, function, ": give a dropout a rate from 0 to less than 1, got ",
             dropout.rate);
  ATTN_CHECK(Real<T> || !dropout.is_on(), function, ": drop weights of real numbers alone; jets take no dropout");
}

template <class A, class T>
constexpr void check_activation_concept() {
  static_assert(Activation<A, T> || ErasedActivation<A>,
                "attention: the activation must be pointwise, template <class T> ATTN_FUNCTION T operator()(T score, "
                "attn::Row row) const, or row-normalised, with Stats, absorb, numerator, normalizer and pullback: see "
                "attn/activation/concepts.hpp");
  // Said here already, though only a backward pass needs it.
  if constexpr (Real<T> && PointwiseActivation<A, T>) check_slope<A, T>();
}

/// `saved` has memory for a call of this shape, or, where it is not `needed`, none, which saves nothing.
template <class A, class T, class Memory, class Q>
void check_saved(char const* function, A const& a, Saved<A, T, Memory> const& saved, Q const& q, bool needed) {
  Extents<3> const want{q.extent(0), q.extent(1), q.extent(2)};
  auto const check = [&](Extents<3> const& have, bool has_memory) {
    ATTN_CHECK(!has_memory || have == want, function, ": give `saved` room for (B, H, N) = (", want[0], ", ", want[1],
               ", ", want[2], "), it has room for (", have[0], ", ", have[1], ", ", have[2], ")");
  };
  if constexpr (requires { saved.rows(); }) {
    check(saved.rows().extents(), saved.rows().data() != nullptr);  // trained numbers' parts lie behind the rows
  } else if constexpr (requires { saved.parts(); }) {
    check(saved.extents(), saved.parts() != nullptr);
  }
  bool misses = false;
  if constexpr (ErasedActivation<A>) {
    check(saved.extents(), saved.memory() != nullptr);
    Index const bytes = a.template saved_bytes<T, Memory>(want[0], want[1], want[2]);
    misses = saved.bytes() < bytes && (needed || saved.memory() != nullptr);
  } else if constexpr (Real<T> && RowActivation<A, T>) {
    misses = needed && want[0] * want[1] * want[2] > 0 && saved.rows().data() == nullptr;
  }
  ATTN_CHECK(!misses, function, ": give what the forward pass with this activation saved; `saved` lacks memory");
}

template <class X>
void check_by_product(char const* function, char const* name, X const& x, Extents<X::rank> const& want) {
  if (x.data() == nullptr || x.extents() == want) return;
  std::ostringstream shape;
  for (int r = 0; r < X::rank; ++r) shape << (r == 0 ? "(" : ", ") << want[r];
  fail(function, ": give ", name, " the shape ", shape.str(), ")");
}
template <class Norms, class Q>
void check_norms(char const* function, Norms const& norms, Q const& q) {
  Extents<2> const heads{q.extent(0), q.extent(1)};
  Extents<3> const rows{q.extent(0), q.extent(1), q.extent(2)};
  if constexpr (requires { norms.frobenius; }) {
    check_by_product(function, "frobenius", norms.frobenius, heads);
    check_by_product(function, "jacobian", norms.jacobian, heads);
  }
  if constexpr (requires { norms.entropy; }) {
    check_by_product(function, "sum", norms.sum, rows);
    check_by_product(function, "minimum", norms.minimum, rows);
    check_by_product(function, "maximum", norms.maximum, rows);
    check_by_product(function, "positive", norms.positive, rows);
    check_by_product(function, "negative", norms.negative, rows);
    check_by_product(function, "entropy", norms.entropy, rows);
  }
}

template <class X>
struct Named {
  char const* name;
  X const& tensor;
};
template <class X>
Named(char const*, X const&) -> Named<X>;

/// A result lies apart from what is read to make it and from other results, and no two of its elements lie in one
/// place. Of jets, whose planes may be shared, this is not known.
template <class X, class... Others>
void check_apart(char const* function, char const* name, X const& result, Named<Others> const&... others) {
  for (int r = 0; r < X::rank; ++r) {
    ATTN_CHECK(result.stride(r) != 0 || result.extent(r) <= 1 || result.size() == 0, function, ": give ", name,
               " a place for each element; dimension ", r, " has a stride of 0");
  }
  auto const check = [&](auto const& other) {
    if constexpr (requires { overlap(result, other.tensor); }) {
      ATTN_CHECK(!overlap(result, other.tensor), function, ": give ", name, " memory of its own; it overlaps that of ",
                 other.name);
    }
  };
  (check(others), ...);
}

}  // namespace attn::detail
