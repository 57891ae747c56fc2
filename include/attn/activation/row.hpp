/// Row: what an activation may know about the row of scores that it acts on.
#pragma once

namespace attn {

/// One row holds the scores of one query against all keys.
struct Row {
  int n_keys = 1;  ///< the keys of the sequence: M, or the length that key padding leaves; not reduced by causality
  int head = 0;    ///< the query head, 0 ... H - 1
};

}  // namespace attn
