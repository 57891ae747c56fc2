/// World: the communicator that a program was built with, and what a trainer can be told of how it shares its work.
#pragma once

#include "attn/io/setting_list.hpp"
#include "attn/train/distributed/communicator.hpp"
#include "attn/train/distributed/sharing_options.hpp"
#if defined(ATTN_HAVE_NCCL) && defined(KOKKOS_ENABLE_CUDA)
#include "attn/train/distributed/nccl_communicator.hpp"
#elif defined(ATTN_HAVE_MPI)
#include "attn/train/distributed/mpi_communicator.hpp"
#endif

#include <numeric>
#include <string>

namespace attn::train {

namespace detail {
#if defined(ATTN_HAVE_NCCL) && defined(KOKKOS_ENABLE_CUDA)
using WorldOfBuild = NcclCommunicator;
#elif defined(ATTN_HAVE_MPI)
using WorldOfBuild = MpiCommunicator;
#else
struct WorldOfBuild : SingleProcess {
  explicit WorldOfBuild(MpiOptions const&) {}
};
#endif
}  // namespace detail

/// What trainers can be told that add gradients when a loss was evaluated.
inline void describe_sums(io::SettingList& settings, SharingOptions& o) {
  settings.group("Several processes");
  settings(
      "any-order", o.any_order,
      {.help = "Let MPI add gradients in an order of its own: not the same bits from run to run", .decides = false});
  settings("trace", o.trace,
           {.help = "Write what each rank did when to a file for chrome://tracing", .decides = false});
  settings("simulate-network", o.network,
           {.help = "Let sums take as long as on a network of so many GB a second; 0: no",
            .range = {0, 1e6},
            .decides = false});
  settings.group("");
}

/// And those that train by `fit`.
inline void describe(io::SettingList& settings, SharingOptions& o) {
  describe_sums(settings, o);
  settings.group("Several processes");
  settings("bucket", o.bucket,
           {.help = "MB of gradients that ranks add at once while the backward pass goes on; 0: all at its end",
            .range = {0, 1e6},
            .decides = false});
  settings("shard-optimizer", o.shard_optimizer,
           {.help = "Each rank keeps the optimizer's state for its share of the parameters alone", .decides = false});
  settings.group("");
}

/// `World world(options)` of a program that was started by mpirun has its ranks; of another, one.
class World : public detail::WorldOfBuild {
 public:
  explicit World(SharingOptions const& o = {})
      : detail::WorldOfBuild(MpiOptions{.ordered = !o.any_order, .bandwidth = o.network * 1e9}) {}

  /// Whether this rank writes files and speaks.
  bool leads() const { return rank() == 0; }

  /// For what does not share its work.
  void check_alone(char const* what) const {
    ATTN_CHECK(size() == 1, what, ": start the program once, got ", size(), " ranks");
  }
};

/// Parts of a step of `accumulate` parts that `ranks` ranks share: the least multiple of both.
inline std::size_t parts_of_step(std::size_t accumulate, int ranks) { return std::lcm(accumulate, std::size_t(ranks)); }

}  // namespace attn::train
