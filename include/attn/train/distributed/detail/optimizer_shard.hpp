/// OptimizerShard: a stretch of the flat buffers as an optimizer sees a whole model, so that it keeps its state for
/// this stretch alone (the first stage of ZeRO: Rajbhandari et al. 2020).
#pragma once

#include "attn/nn/context.hpp"
#include "attn/optim/optimizer.hpp"
#include "attn/train/checkpoint.hpp"
#include "attn/train/distributed/communicator.hpp"

#include <algorithm>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

namespace attn::train::detail {

/// What an elementwise optimizer asks of a context: where it runs, and parameters: here those of a stretch, whose
/// entries have the attributes of the entries that they are parts of.
template <class Ctx>
class ShardContext {
 public:
  using Space = typename Ctx::Space;
  using MemorySpace = typename Ctx::MemorySpace;
  using Real = typename Ctx::Real;
  using Scalar = Real;
  using Flat = Tensor<Real, 1, MemorySpace>;

  class Parameters : public nn::ParameterRegistry {
   public:
    Parameters(Ctx& ctx, Stretch const& stretch) : all_(ctx.parameters), stretch_(stretch) {
      for (nn::ParameterEntry const& entry : all_.entries()) {
        Index const first = std::max(entry.offset, stretch.first);
        Index const last = std::min(entry.offset + entry.size, stretch.last);
        if (first >= last) continue;
        nn::ParameterAttributes attributes;
        attributes.decays = entry.decays;
        attributes.trained = entry.trained;
        attributes.learning_rate_factor = entry.learning_rate_factor;
        this->template add<1>(entry.name, {last - first}, nn::zeros(), attributes);
      }
    }
    Flat values() { return of_stretch(all_.values()); }
    Flat gradients() { return of_stretch(all_.gradients()); }

   private:
    Flat of_stretch(Flat const& all) const { return all.slice(0, stretch_.first, stretch_.last); }

    nn::Parameters<Real, MemorySpace>& all_;
    Stretch stretch_;
  };

  ShardContext(Ctx& ctx, Stretch const& stretch) : exec(ctx.exec), parameters(ctx, stretch) {}

  Space exec;
  Parameters parameters;
  std::uint64_t step = 0;
  nn::LossScaleNumbers* loss_scale = nullptr;
};

/// The state of an optimizer of which each rank has a stretch, as one part of a checkpoint: the same as that of an
/// optimizer which is not shared. `collect` before it is saved, `distribute` after it was read.
template <class Ctx>
class CollectedState {
 public:
  using State = optim::State<typename Ctx::Real, typename Ctx::MemorySpace>;

  CollectedState(Ctx& ctx, State own, Stretch const& stretch) : own_(std::move(own)), stretch_(stretch) {
    for (auto const& array : own_.arrays) {
      arrays_.emplace_back("attn::train::" + array.name, std::size_t(ctx.parameters.extent()));
    }
  }

  State state() const {
    State all{{}, own_.steps};
    for (std::size_t i = 0; i < arrays_.size(); ++i) all.arrays.push_back({own_.arrays[i].name, whole(i), false});
    return all;
  }

  template <class C>
  void collect(Ctx& ctx, C& communicator) const {
    for (std::size_t i = 0; i < arrays_.size(); ++i) {
      copy(ctx, own_.arrays[i].values, part(i));
      communicator.gather_slices(ctx.exec, whole(i));
    }
  }
  void distribute(Ctx& ctx) const {
    for (std::size_t i = 0; i < arrays_.size(); ++i) copy(ctx, part(i), own_.arrays[i].values);
    ctx.exec.fence("attn::train::CollectedState");
  }

 private:
  using Flat = Tensor<typename Ctx::Real, 1, typename Ctx::MemorySpace>;

  Flat whole(std::size_t i) const { return {arrays_[i].data(), {Index(arrays_[i].extent(0))}}; }
  Flat part(std::size_t i) const { return whole(i).slice(0, stretch_.first, stretch_.last); }
  static void copy(Ctx& ctx, Flat const& from, Flat const& to) {
    if (from.extent(0) > 0) Kokkos::deep_copy(ctx.exec, to.view(), from.view());
  }

  State own_;
  Stretch stretch_;
  std::vector<Kokkos::View<typename Ctx::Real*, typename Ctx::MemorySpace>> arrays_;
};

}  // namespace attn::train::detail
