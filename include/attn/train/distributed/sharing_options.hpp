/// How do the ranks of a run share its work?
#pragma once

#include "attn/io/file.hpp"

namespace attn::train {

/// Nothing here changes what is computed, but for rounding. A process that is alone has use for `trace` only.
struct SharingOptions {
  double bucket = 16;            ///< megabytes of gradients that are summed at once; 0: all, after the backward pass
  bool any_order = false;        ///< sums as MPI likes, not in the order of ranks
  bool shard_optimizer = false;  ///< each rank keeps its stretch of the optimizer's state
  io::Path trace = {};           ///< where a trace goes
  double network = 0;            ///< GB a second of a network to be simulated
};

/// How `MpiCommunicator` adds.
struct MpiOptions {
  /// Sums in the order of ranks: each rank gets its stretch of all ranks' numbers, adds them, and gives the sum to all.
  /// The same bits whatever the timing, the network and the slices. Otherwise MPI_Allreduce, which does not promise it.
  bool ordered = true;
  double patience = 1800;  ///< seconds without an answer of the others before a rank gives up
  /// Bytes a second of a network to be simulated: what is sent takes at least so long. 0: none.
  double bandwidth = 0;
};

}  // namespace attn::train
