/// GranuleAttributes: the attributes of parameters where kernels read them, one number a granule.
#pragma once

#include "attn/optim/detail/elementwise.hpp"

#include <cstdint>
#include <optional>

namespace attn::optim::detail {

/// The learning rate's factor of each granule, and whether it is trained at all.
template <class T>
struct Rates {
  T const* factors;  // negative where nothing is trained

  ATTN_FUNCTION bool trained(Index row) const { return factors[row] >= 0; }
  ATTN_FUNCTION T factor(Index row) const { return factors[row]; }
};

/// The common case: all is trained, at one rate. Kernels are compiled for it apart, so that it costs nothing.
template <class T>
struct UniformRates {
  static ATTN_FUNCTION constexpr bool trained(Index) { return true; }
  static ATTN_FUNCTION constexpr T factor(Index) { return T(1); }
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

  Rates<T> rates() const { return {rates_.data()}; }

  /// Puts zeros into `gradient` where nothing is trained.
  template <ExecutionSpace Exec>
  void mask(Exec const& exec, T* gradient, Index extent) const {
    if (uniform_) return;
    for_each_element<T>(exec, "attn::optim::mask", extent, MaskGradient<T>{gradient, rates()});
  }

  /// Methods that measure curvature know one learning rate.
  static void check_one_rate(nn::ParameterRegistry const& registry, char const* method) {
    for (auto const& entry : registry.entries()) {
      ATTN_CHECK(!entry.trained || entry.learning_rate_factor == 1, method,
                 ": give all parameters the same learning rate, or use Adam; the factor of \"", entry.name, "\" is ",
                 entry.learning_rate_factor);
    }
  }

  /// launch(rates), with `UniformRates` where they are.
  template <class Launch>
  void with_rates(Launch const& launch) const {
    if (uniform_) {
      launch(UniformRates<T>());
    } else {
      launch(rates());
    }
  }

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

}  // namespace attn::optim::detail
