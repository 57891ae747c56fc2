/// Which work a block of a persistent kernel does next: the first of a WorkOrder that no block has begun.
///
/// Blocks count the works that they take in a number in memory: who is done earlier takes more, whatever makes works
/// unlike, masks, lengths of sequences, or memory. A result does not depend on the block that computes it. The last
/// block leaves zeros to the next kernel. Without such a number, as in CUDA graphs, which may run beside the stream
/// that recorded them, each block has its turns (`WorkOrder::work`).
#pragma once

#include "attn/attention/detail/hopper/work_order.hpp"

namespace attn::detail::cuda {

/// What the warp that copies knows of it. `counter`: works taken beyond the first of each block, and blocks that are
/// done; or null. Where works wait for others of lower numbers, blocks count their first, too (`counts_all`): all lower
/// ones were begun then by blocks that run, so that none waits for ever.
template <bool counts_all = false>
class WorkSource {
 public:
  template <class Block>
  ATTN_FUNCTION WorkSource(Block const& block, WorkOrder const& order, unsigned* counter)
      : order_(order), work_(int(block.index())), counter_(counter) {
    if constexpr (counts_all) {
      ask(block, 0);
      take_next(block);
    }
  }

  /// The work of this round, the same in all lanes; none where `is_over()`.
  ATTN_FUNCTION int work() const { return work_; }
  ATTN_FUNCTION bool is_over() const { return work_ >= order_.size(); }

  /// Asks for the next, that of round `round`; the answer takes a while, and `take_next` waits for it.
  template <class Block>
  ATTN_FUNCTION void ask(Block const& block, unsigned round) {
    if (!counts_all && counter_ == nullptr) {
      next_ = WorkOrder::work(block, int(round));
    } else if (block.thread() % 32 == 0) {
      next_ = (counts_all ? 0 : int(block.blocks())) + int(block.count(counter_));
    }
  }
  template <class Block>
  ATTN_FUNCTION void take_next(Block const& block) {
    work_ = block.of_first_lane(next_);
  }

  /// After the last.
  template <class Block>
  ATTN_FUNCTION void finish(Block const& block) const {
    if ((!counts_all && counter_ == nullptr) || block.thread() % 32 != 0) return;
    if (block.count(counter_ + 1) + 1 == unsigned(block.blocks())) counter_[0] = counter_[1] = 0;
  }

 private:
  WorkOrder const& order_;
  int work_, next_ = 0;
  unsigned* counter_;
};

}  // namespace attn::detail::cuda
