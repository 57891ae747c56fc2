/// GranuleAttributes: the attributes of parameters where kernels read them, one number a granule.
#pragma once

#include "attn/optim/detail/elementwise.hpp"

#include <cstdint>
#include <optional>

namespace attn::optim::detail {

/// The learning rate's factor of a granule, or that it is not trained. Null factors, the common case, are all 1.
template <class T>
struct Rates {
  T const* factors = nullptr;  // negative where nothing is trained

  ATTN_FUNCTION bool trained(Index row) const { return factors == nullptr || factors[row] >= 0; }
  ATTN_FUNCTION T factor(Index row) const { return factors == nullptr ? T(1) : factors[row]; }
};

/// Made anew where the registry grew or an attribute changed; a step after that allocates nothing.
template <class T, class Memory>
class GranuleAttributes {
 public:
  void prepare(nn::ParameterRegistry const& registry) {
    if (version_ == registry.attributes_version()) return;
    version_ = registry.attributes_version();
    uniform_ = true;
    for (auto const& entry : registry.entries()) {
      uniform_ = uniform_ && entry.trained && entry.learning_rate_factor == 1;
    }
    decays_ = table(registry, [](nn::ParameterEntry const& e) { return e.decays ? 1.0 : 0.0; });
    if (uniform_) return;
    rates_ = table(registry, [](nn::ParameterEntry const& e) { return e.trained ? e.learning_rate_factor : -1.0; });
  }

  /// For each granule 1 where weight decay applies and 0 elsewhere.
  T const* decays() const { return decays_.data(); }

  Rates<T> rates() const { return {uniform_ ? nullptr : rates_.data()}; }

 private:
  template <class Number>
  static Kokkos::View<T*, Memory> table(nn::ParameterRegistry const& registry, Number const& number) {
    Kokkos::View<T*, Memory> const all("attn::optim::attributes",
                                       static_cast<std::size_t>(registry.extent() / granule));
    auto const host = Kokkos::create_mirror_view(Kokkos::HostSpace(), all);
    Kokkos::deep_copy(host, T(0));
    for (auto const& entry : registry.entries()) {
      Index const first = entry.offset / granule, n = (entry.size + granule - 1) / granule;
      for (Index i = first; i < first + n; ++i) host(i) = static_cast<T>(number(entry));
    }
    Kokkos::deep_copy(all, host);
    return all;
  }

  std::optional<std::uint64_t> version_;
  bool uniform_ = true;
  Kokkos::View<T*, Memory> decays_, rates_;
};

/// Puts zeros where nothing is trained.
template <class T>
struct MaskGradient {
  T* gradient;
  Rates<T> rates;

  template <class Lanes>
  ATTN_FUNCTION void operator()(Lanes lanes, Index row, Index column) const {
    if (!rates.trained(row)) lanes.store(gradient + row * granule + column, typename Lanes::Value(T(0)));
  }
};

}  // namespace attn::optim::detail
