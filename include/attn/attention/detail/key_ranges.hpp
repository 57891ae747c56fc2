/// Parts of ranges of keys: how long rows are shared among blocks of a device or threads of a host.
#pragma once

#include "attn/attention/mask.hpp"

namespace attn::detail {

/// Part `part` of `count` of a range of keys, in whole tiles but for the last; some may be empty.
ATTN_FUNCTION constexpr KeyRange part_of(KeyRange all, int part, int count, int tile) {
  if (count == 1 || all.begin >= all.end) return all;
  Index const tiles = (Index(all.end) - all.begin + tile - 1) / tile;
  Index const begin = all.begin + tiles * part / count * tile, end = all.begin + tiles * (part + 1) / count * tile;
  return {int(begin), end < all.end ? int(end) : all.end};
}

/// Whether a query that sees the keys `seen` sees one of `part`.
ATTN_FUNCTION constexpr bool sees_any(KeyRange seen, KeyRange part) {
  return (seen.begin > part.begin ? seen.begin : part.begin) < (seen.end < part.end ? seen.end : part.end);
}

}  // namespace attn::detail
