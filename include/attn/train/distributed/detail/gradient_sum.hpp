/// GradientSum: the mean of the gradients of all ranks, made while the backward pass goes on.
#pragma once

#include "attn/train/detail/accumulate.hpp"
#include "attn/train/distributed/communicator.hpp"
#include "attn/train/distributed/detail/bucket_plan.hpp"
#include "attn/train/trace.hpp"

#include <algorithm>
#include <cstddef>
#include <optional>
#include <string>
#include <vector>

namespace attn::train::detail {

template <class T>
struct CountUnlike {
  T const* a;
  T const* b;
  ATTN_FUNCTION void operator()(Index i, Index& count) const { count += !(a[i] == b[i]); }
};

/// Call `begin` before the pass that completes the gradients of a step, and `end` after it. The first step learns a
/// plan, the second verifies it: what changed after it was called final is given away at the end from then on. From the
/// third step on buckets are summed as they become final. Sums of numbers do not depend on how they are cut where the
/// communicator adds in the order of ranks, so neither do the bits of a run.
template <class Ctx, class C>
class GradientSum {
 public:
  using T = typename Ctx::Real;
  using Memory = typename Ctx::MemorySpace;

  /// Buckets of at least `bytes`; 0: all at once at the end. Gradients of a rank are multiplied by `factor` before they
  /// are added.
  GradientSum(C& communicator, double bytes, double factor)
      : communicator_(communicator), numbers_(static_cast<Index>(bytes / sizeof(T))), factor_(T(factor)) {}

  void begin(Ctx& ctx) {
    if (numbers_ == 0) return;
    ++step_;
    asked_.clear();
    next_ = 0;
    off_script_ = false;
    if (step_ == 2) copy_ = Kokkos::View<T*, Memory>("attn::train::GradientSum", std::size_t(ctx.parameters.extent()));
    ctx.parameters.on_gradient = [this, &ctx](Index offset) { asked_for(ctx, offset); };
  }

  void end(Ctx& ctx) {
    ctx.parameters.on_gradient = nullptr;
    if (step_ == 2) verify(ctx);
    if (step_ <= 1) {
      give(ctx, {0, ctx.parameters.extent()});
    } else {
      for (; next_ < plan_.buckets.size(); ++next_) give(ctx, plan_.buckets[next_].stretch);
    }
    communicator_.finish(ctx.exec);
    if (step_ == 1) agree_on_plan(ctx);
  }

  BucketPlan const& plan() const { return plan_; }

 private:
  void asked_for(Ctx& ctx, Index offset) {
    auto const& entries = ctx.parameters.entries();
    auto const entry = std::ranges::upper_bound(entries, offset, {}, &nn::ParameterEntry::offset) - 1;
    auto const number = static_cast<std::size_t>(entry - entries.begin());
    off_script_ = off_script_ || asked_.size() >= script_.size() || script_[asked_.size()] != number;
    for (std::size_t b = 0; b < next_ && step_ > 2 && off_script_; ++b) {
      Stretch const& given = plan_.buckets[b].stretch;
      ATTN_CHECK(offset < given.first || offset >= given.last,
                 "fit: give --bucket 0, or let the model run backward in "
                 "the same order in each step; the gradient of ",
                 entry->name, " changed after it was final");
    }
    asked_.push_back(number);
    while (step_ > 1 && !off_script_ && next_ < plan_.buckets.size() && plan_.buckets[next_].final_at < asked_.size()) {
      Stretch const stretch = plan_.buckets[next_++].stretch;
      if (step_ == 2) {
        keep(ctx, stretch);
      } else {
        give(ctx, stretch);
      }
    }
  }

  void give(Ctx& ctx, Stretch const& stretch) {
    Tensor<T, 1, Memory> const slice(ctx.parameters.gradients().data() + stretch.first, {stretch.extent()});
    elementwise<T>(ctx.exec, "attn::train::GradientSum", 1, stretch.extent(), ScaleAll<T>{slice.data(), factor_});
    communicator_.start(ctx.exec, slice);
  }

  /// What is called final now, to be compared later.
  void keep(Ctx& ctx, Stretch const& stretch) {
    auto const range = std::pair(std::size_t(stretch.first), std::size_t(stretch.last));
    Kokkos::View<T const*, Memory, Kokkos::MemoryTraits<Kokkos::Unmanaged>> const now(
        ctx.parameters.gradients().data(), std::size_t(ctx.parameters.extent()));
    Kokkos::deep_copy(ctx.exec, Kokkos::subview(copy_, range), Kokkos::subview(now, range));
  }

  void verify(Ctx& ctx) {
    std::vector<double> changed(plan_.buckets.size());
    for (std::size_t b = 0; b < next_; ++b) {
      Stretch const& stretch = plan_.buckets[b].stretch;
      Index count = 0;
      Kokkos::parallel_reduce(
          "attn::train::GradientSum",
          Kokkos::RangePolicy<typename Ctx::Space, Kokkos::IndexType<Index>>(ctx.exec, stretch.first, stretch.last),
          CountUnlike<T>{ctx.parameters.gradients().data(), copy_.data()}, count);
      changed[b] = double(count);
    }
    copy_ = {};
    next_ = 0;
    communicator_.sum(changed);  // all ranks hold the same plan
    for (std::size_t b = 0; b < changed.size(); ++b) {
      if (changed[b] > 0) plan_.buckets[b].final_at = BucketPlan::never;
    }
    std::ranges::stable_sort(plan_.buckets, {}, &BucketPlan::Bucket::final_at);
  }

  /// That of rank 0, which always has samples.
  void agree_on_plan(Ctx& ctx) {
    script_ = io::Json::parse(communicator_.gather(communicator_.rank() == 0 ? io::Json(asked_).dump() : "")[0])
                  .template get<std::vector<std::size_t>>();
    plan_ = plan_buckets(ctx.parameters, script_, numbers_);
  }

  C& communicator_;
  Index numbers_;
  T factor_;
  std::uint64_t step_ = 0;
  std::vector<std::size_t> asked_, script_;  // entries whose gradients were asked for, in this step and as learned
  std::size_t next_ = 0;                     // bucket that is given away next
  bool off_script_ = false;
  BucketPlan plan_;
  Kokkos::View<T*, Memory> copy_;
};

}  // namespace attn::train::detail
