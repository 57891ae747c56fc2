/// Saved: what the forward pass of attention keeps for the backward pass.
///
/// Each form of it is made in a workspace, `Saved(workspace, activation, batch, heads, queries)`, so that nothing is
/// allocated after the first step; in memory of its own, without the workspace; or over bytes that the caller holds.
/// The activation is needed where its type is chosen at run time.
#pragma once

#include "attn/activation/concepts.hpp"
#include "attn/core/workspace.hpp"

#include <cstddef>

namespace attn {

namespace detail {

/// Whether kernels for CUDA may serve.
template <class T, class Memory>
inline constexpr bool keeps_row_facts = false;
#if defined(KOKKOS_ENABLE_CUDA)
template <>
inline constexpr bool keeps_row_facts<float, Kokkos::CudaSpace> = true;
#endif

}  // namespace detail

/// A pointwise activation needs nothing: every weight is a function of its score.
template <class A, class T, class Memory>
class Saved {
 public:
  Saved() = default;
  Saved(Workspace<Memory>&, A const&, Index /*batch*/, Index /*heads*/, Index /*queries*/) {}
  Saved(A const&, Index /*batch*/, Index /*heads*/, Index /*queries*/) {}
  Saved(Index /*batch*/, Index /*heads*/, Index /*queries*/) {}
  Saved(std::byte* /*memory*/, Index /*batch*/, Index /*heads*/, Index /*queries*/) {}

  static Index bytes(Index /*batch*/, Index /*heads*/, Index /*queries*/) { return 0; }
};

/// A row-normalised activation keeps the statistics of each row: `rows()` (B, H, N). Kernels for CUDA want room for two
/// more numbers a row, which one launch of the backward pass leaves to the next: `row_facts()` (B, H, N, 2), null
/// elsewhere. Trained numbers need `parts()` (B, H, N, n_parameters), as below.
template <class A, class T, class Memory>
requires RowActivation<A, T>
class Saved<A, T, Memory> {
 public:
  using Stats = typename A::template Stats<T>;
  using Real = RealOf<T>;

  Saved() = default;
  Saved(Workspace<Memory>& workspace, A const&, Index batch, Index heads, Index queries)
      : rows_(workspace.template tensor<Stats>(with_rest(batch * heads * queries)).data(), {batch, heads, queries}) {}
  Saved(A const&, Index batch, Index heads, Index queries) : Saved(batch, heads, queries) {}
  Saved(Index batch, Index heads, Index queries)
      : owned_(Kokkos::view_alloc(Kokkos::WithoutInitializing, "attn::Saved"),
               static_cast<std::size_t>(with_rest(batch * heads * queries))),
        rows_(owned_.data(), {batch, heads, queries}) {}
  /// Over `bytes(batch, heads, queries)` bytes, aligned for what they hold.
  Saved(std::byte* memory, Index batch, Index heads, Index queries)
      : rows_(reinterpret_cast<Stats*>(memory), {batch, heads, queries}) {}

  static Index bytes(Index batch, Index heads, Index queries) {
    return with_rest(batch * heads * queries) * Index(sizeof(Stats));
  }

  Tensor<Stats, 3, Memory> const& rows() const { return rows_; }
  /// They lie behind the statistics, and the parts behind them.
  Real* row_facts() const { return n_facts > 0 ? rest() : nullptr; }
  Real* parts() const requires LearnableActivation<A, T> {
    return rest() == nullptr ? nullptr : rest() + n_facts * rows_.size();
  }

 private:
  /// Of a row.
  static constexpr Index n_facts = detail::keeps_row_facts<T, Memory> ? 2 : 0;
  static constexpr Index n_parts = [] {
    if constexpr (LearnableActivation<A, T>) return Index(A::n_parameters);
    return Index(0);
  }();

  static constexpr Index with_rest(Index n) {
    return n + ((n_facts + n_parts) * n * Index(sizeof(Real)) + Index(sizeof(Stats)) - 1) / Index(sizeof(Stats));
  }
  Real* rest() const {
    return rows_.data() == nullptr ? nullptr : reinterpret_cast<Real*>(rows_.data() + rows_.size());
  }

  Kokkos::View<Stats*, Memory> owned_;
  Tensor<Stats, 3, Memory> rows_;
};

/// Numbers that are trained need room for the parts of their gradients, so that a backward pass allocates nothing:
/// `parts()` (B, H, N, n_parameters).
template <class A, class T, class Memory>
requires(LearnableActivation<A, T> && !RowActivation<A, T>) class Saved<A, T, Memory> {
 public:
  using Real = RealOf<T>;

  Saved() = default;
  Saved(Workspace<Memory>& workspace, A const&, Index batch, Index heads, Index queries)
      : parts_(workspace.template tensor<Real>(batch, heads, queries, A::n_parameters).data()),
        extents_{batch, heads, queries} {}
  Saved(A const&, Index batch, Index heads, Index queries) : Saved(batch, heads, queries) {}
  Saved(Index batch, Index heads, Index queries)
      : owned_(Kokkos::view_alloc(Kokkos::WithoutInitializing, "attn::Saved"),
               static_cast<std::size_t>(batch * heads * queries * A::n_parameters)),
        parts_(owned_.data()),
        extents_{batch, heads, queries} {}
  /// Over `bytes(batch, heads, queries)` bytes, aligned for what they hold.
  Saved(std::byte* memory, Index batch, Index heads, Index queries)
      : parts_(reinterpret_cast<Real*>(memory)), extents_{batch, heads, queries} {}

  static Index bytes(Index batch, Index heads, Index queries) {
    return batch * heads * queries * A::n_parameters * Index(sizeof(Real));
  }

  Real* parts() const { return parts_; }
  Extents<3> const& extents() const { return extents_; }

 private:
  Kokkos::View<Real*, Memory> owned_;
  Real* parts_ = nullptr;
  Extents<3> extents_{};
};

/// An activation that is chosen at run time: as many bytes as what it holds keeps.
template <ErasedActivation A, class T, class Memory>
class Saved<A, T, Memory> {
 public:
  Saved() = default;
  Saved(Workspace<Memory>& workspace, A const& a, Index batch, Index heads, Index queries)
      : extents_{batch, heads, queries}, bytes_(a.template saved_bytes<T, Memory>(batch, heads, queries)) {
    if (bytes_ > 0) memory_ = workspace.template tensor<std::byte>(bytes_).data();
  }
  Saved(A const& a, Index batch, Index heads, Index queries)
      : owned_(Kokkos::view_alloc(Kokkos::WithoutInitializing, "attn::Saved"),
               static_cast<std::size_t>(a.template saved_bytes<T, Memory>(batch, heads, queries))),
        memory_(owned_.data()),
        extents_{batch, heads, queries},
        bytes_(static_cast<Index>(owned_.extent(0))) {}

  /// Null where nothing is kept.
  std::byte* memory() const { return memory_; }
  Extents<3> const& extents() const { return extents_; }
  Index bytes() const { return bytes_; }

 private:
  Kokkos::View<std::byte*, Memory> owned_;
  std::byte* memory_ = nullptr;
  Extents<3> extents_{};
  Index bytes_ = 0;
};

}  // namespace attn
