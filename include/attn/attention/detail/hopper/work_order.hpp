/// In which order the blocks of a persistent kernel take tiles of rows.
///
/// The heads whose streamed rows L2 holds together come one group after the other; of a group the first tile of each
/// head, then the second, ...: the first are the dearest under causal masks. Blocks take them in turns, forth and back:
///
///     round     block 0   1   2   3
///       0             0   1   2   3
///       1             7   6   5   4
///       2             8   9   ...
///
/// Head by head, and always forth, some blocks would get the dearest tile of every head.
#pragma once

#include "attn/attention/detail/team/forward.hpp"

#include <algorithm>

namespace attn::detail::cuda {

class WorkOrder {
 public:
  /// `heads` of all sequences, with `tiles` each. `bytes`: of the rows that a head streams; `cache`: of L2, of which
  /// these get two thirds at most. Groups are of equal size, or nearly.
  WorkOrder(Index heads, Index tiles, Index bytes, Index cache)
      : heads_(int(heads)), tiles_(int(tiles)), size_(heads_ * tiles_) {
    Index const all = std::max<Index>(heads, 1), most = cache * 2 / 3 / std::max<Index>(bytes, 1);
    together_ = tiles_of(all, tiles_of(all, int(std::clamp<Index>(most, 1, all))));
  }

  ATTN_FUNCTION int size() const { return size_; }

  /// What a block does in a round; nothing, and nothing later, if that is not below `size()`.
  static ATTN_FUNCTION int work(int block, int blocks, int round) {
    return round * blocks + (round % 2 == 0 ? block : blocks - 1 - block);
  }
  template <class Block>
  static ATTN_FUNCTION int work(Block const& block, int round) {
    return work(int(block.index()), int(block.blocks()), round);
  }

  /// Head and tile of a work, in sequences of `heads`.
  ATTN_FUNCTION TeamPlace place(int work, int heads) const {
    int const group = work / (together_ * tiles_) * together_, rest = work - group * tiles_;
    int const n = heads_ - group < together_ ? heads_ - group : together_;
    return {(group + rest % n) * tiles_ + rest / n, heads, tiles_};
  }

 private:
  int heads_, tiles_, size_, together_ = 1;
};

}  // namespace attn::detail::cuda
