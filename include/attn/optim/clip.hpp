/// Gradient clipping: gradients are scaled so that their global norm stays below a limit.
#pragma once

#include "attn/optim/detail/attributes.hpp"
#include "attn/optim/detail/elementwise.hpp"

#include <type_traits>

namespace attn::optim {

namespace detail {

/// How the sum of squares is split: `parts` sums, each over elements that depend on the extent alone, never on the
/// number of threads. On the host a part is one contiguous stretch; elsewhere neighbouring parts read neighbours.
struct NormParts {
  static constexpr Index parts = 1024;
  Index stretch;  // elements of a part, a multiple of the granule

  explicit NormParts(Index extent) : stretch(((extent + parts - 1) / parts + granule - 1) / granule * granule) {}
};

template <class T, class Rates>
struct SumStretch {
  T const* gradient;
  double* sums;
  Rates rates;
  Index stretch, extent;

  ATTN_FUNCTION void operator()(Index part) const {
    double lanes[granule] = {};
    Index const begin = part * stretch, end = begin + stretch < extent ? begin + stretch : extent;
    for (Index i = begin; i < end; i += granule) {
      if (!rates.trained(i / granule)) continue;
      for (Index j = 0; j < granule; ++j) lanes[j] += double(gradient[i + j]) * double(gradient[i + j]);
    }
    double sum = 0;
    for (Index j = 0; j < granule; ++j) sum += lanes[j];
    sums[part] = sum;
  }
};

template <class T, class Rates>
struct SumStrided {
  T const* gradient;
  double* sums;
  Rates rates;
  Index extent;

  ATTN_FUNCTION void operator()(Index part) const {
    double sum = 0;
    for (Index i = part; i < extent; i += NormParts::parts) {
      if (rates.trained(i / granule)) sum += double(gradient[i]) * double(gradient[i]);
    }
    sums[part] = sum;
  }
};

struct FinishNorm {
  double const* sums;
  double* norm_and_factor;
  double limit;
  nn::LossScaleNumbers* loss_scale;

  ATTN_FUNCTION void operator()(Index) const {
    double sum = 0;
    for (Index i = 0; i < NormParts::parts; ++i) sum += sums[i];
    double const scale = loss_scale == nullptr ? 1 : loss_scale->scale;
    constexpr double epsilon = 1e-6;  // as the common frameworks have it
    double const norm = Kokkos::sqrt(sum) / scale, factor = limit / (norm + epsilon);
    norm_and_factor[0] = norm;
    norm_and_factor[1] = (limit > 0 && factor < 1 ? factor : 1) / scale;
    if (loss_scale != nullptr) adapt(*loss_scale, norm - norm == 0);
  }
  /// Half of it where it was too much; twice as much after many steps where it was not.
  static ATTN_FUNCTION void adapt(nn::LossScaleNumbers& s, bool finite) {
    s.skips = finite ? 0 : 1;
    s.good_steps = finite ? s.good_steps + 1 : 0;
    if (!finite) s.scale /= 2;
    if (s.good_steps < s.interval) return;
    s.scale *= 2;
    s.good_steps = 0;
  }
};

template <class T>
struct ScaleGradient {
  T* gradient;
  double const* factor;

  template <class Lanes>
  ATTN_FUNCTION void operator()(Lanes lanes, Index row, Index column) const {
    if (*factor == 1) return;
    T* const g = gradient + row * granule + column;
    lanes.store(g, lanes.load(g) * typename Lanes::Value(T(*factor)));
  }
};

}  // namespace detail

/// g = g min(1, limit / (|g| + 1e-6)), |g| the norm over all parameters together that are trained. The norm is summed
/// in double, in an order that does not depend on the number of threads, and stays on the device: nothing waits for it.
///
/// Where losses of `ctx` are scaled, gradients and norm lose the scale again, and it adapts: gradients that are not
/// finite have the optimizer leave out the step.
template <Real T, class Memory>
class GradientClip {
 public:
  /// A limit of 0 measures the norm and clips nothing.
  explicit GradientClip(double limit = 0) : limit_(limit) {
    ATTN_CHECK(limit >= 0, "GradientClip: give a limit that is not negative, got ", limit);
  }
  template <class Ctx>
  explicit GradientClip(Ctx const&, double limit = 0) : GradientClip(limit) {}

  /// Clips `ctx.parameters.gradients()`. Asynchronous on `ctx.exec`; no fence.
  template <class Ctx>
  void operator()(Ctx& ctx) {
    using Exec = typename Ctx::Space;
    using Policy = Kokkos::RangePolicy<Exec, Kokkos::IndexType<Index>>;
    ProfilingRegion const region("attn::optim::GradientClip");
    if (sums_.extent(0) == 0) {
      sums_ = Kokkos::View<double*, Memory>("attn::optim::GradientClip::sums", detail::NormParts::parts);
      result_ = Kokkos::View<double*, Memory>("attn::optim::GradientClip::result", 2);
    }
    attributes_.prepare(ctx.parameters);
    nn::LossScaleNumbers* const loss_scale = detail::loss_scale_of(ctx);
    auto const gradients = ctx.parameters.gradients();
    Index const extent = ctx.parameters.extent();
    char const* const label = "attn::optim::GradientClip";
    Policy const parts(ctx.exec, 0, detail::NormParts::parts);
    attributes_.with_rates([&](auto const& rates) {
      using Rates = std::decay_t<decltype(rates)>;
      T const* const g = gradients.data();
      if constexpr (HostExecutionSpace<Exec>) {
        Index const stretch = detail::NormParts(extent).stretch;
        attn::launch(label, parts, detail::SumStretch<T, Rates>{g, sums_.data(), rates, stretch, extent});
      } else {
        attn::launch(label, parts, detail::SumStrided<T, Rates>{g, sums_.data(), rates, extent});
      }
    });
    attn::detail::run_once(ctx.exec, label, detail::FinishNorm{sums_.data(), result_.data(), limit_, loss_scale});
    if (limit_ > 0 || loss_scale != nullptr) {
      detail::for_each_element<T>(ctx.exec, label, extent,
                                  detail::ScaleGradient<T>{gradients.data(), result_.data() + 1});
    }
  }

  /// The norm before clipping, after the first call: one number where the kernels run.
  Tensor<double const, 1, Memory> norm() const { return {result_.data(), {1}}; }

 private:
  double limit_;
  detail::GranuleAttributes<T, Memory> attributes_;
  Kokkos::View<double*, Memory> sums_;
  Kokkos::View<double*, Memory> result_;  // the norm, and the factor
};

template <class Ctx>
GradientClip(Ctx const&, double = 0) -> GradientClip<typename Ctx::Real, typename Ctx::MemorySpace>;

}  // namespace attn::optim
