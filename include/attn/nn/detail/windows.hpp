/// Windows of a feature map, shifted or not: which pixel is which token, which tokens see one another, and the bias of
/// relative positions.
///
/// A shift is cyclic: a window at an edge holds pixels from both sides, which must not see one another (Liu et al.
/// 2021). The pixels of one side are a region; a window has up to four. Its tokens are put in the order of regions, so
/// that the keys of a token's region are one range, and a mask skips the others.
#pragma once

#include "attn/attention/mask.hpp"
#include "attn/core/rows.hpp"

namespace attn::nn {

/// A map of `height` x `width` pixels in windows of `window_height` x `window_width`; behind its lower and right edges
/// come pixels of zeros until windows are full. As a mask: a token sees the tokens of its region; sequence b is window
/// (first + b) % windows() of an image.
struct WindowGrid {
  int height = 1, width = 1;
  int window_height = 1, window_width = 1;
  int shift_y = 0, shift_x = 0;  ///< below the window's size
  int first = 0;

  /// A token's place in its window, and the tokens begin ... end - 1 of its region.
  struct Place {
    int y = 0, x = 0;
    int begin = 0, end = 0;
  };

  ATTN_FUNCTION int across() const { return (width + window_width - 1) / window_width; }
  ATTN_FUNCTION int down() const { return (height + window_height - 1) / window_height; }
  ATTN_FUNCTION int windows() const { return down() * across(); }
  ATTN_FUNCTION int tokens() const { return window_height * window_width; }
  /// Windows differ in their regions: 0 in the interior; 1, 2 and 3 at the right edge, at the lower one, in the corner.
  ATTN_FUNCTION int kinds() const { return shift_y > 0 || shift_x > 0 ? 4 : 1; }
  ATTN_FUNCTION int kind(int window) const {
    if (kinds() == 1) return 0;
    return ((window + 1) % across() == 0 ? 1 : 0) + (window / across() == down() - 1 ? 2 : 0);
  }

  /// Token i of a window of a kind.
  ATTN_FUNCTION Place place(int kind, int i) const {
    int const split_y = (kind & 2) != 0 ? window_height - shift_y : window_height;
    int const split_x = (kind & 1) != 0 ? window_width - shift_x : window_width;
    bool const is_below = i >= split_y * window_width;
    int begin = is_below ? split_y * window_width : 0;
    int const rows = is_below ? window_height - split_y : split_y;
    bool const is_right = i - begin >= rows * split_x;
    if (is_right) begin += rows * split_x;
    int const columns = is_right ? window_width - split_x : split_x;
    return {.y = (is_below ? split_y : 0) + (i - begin) / columns,
            .x = (is_right ? split_x : 0) + (i - begin) % columns,
            .begin = begin,
            .end = begin + rows * columns};
  }

  /// The pixel of token i of a window of an image, counted along rows; -1 for what is behind an edge.
  ATTN_FUNCTION int pixel(int window, int i) const {
    Place const p = place(kind(window), i);
    int const y = window / across() * window_height + p.y, x = window % across() * window_width + p.x;
    if (y >= height || x >= width) return -1;
    return (y + shift_y) % height * width + (x + shift_x) % width;
  }

  ATTN_FUNCTION KeyRange keys(Query q) const {
    Place const p = place(kind((first + q.batch) % windows()), q.index);
    return {p.begin, p.end};
  }
  ATTN_FUNCTION int length(int, int n_keys) const { return n_keys; }
};

namespace detail {

inline WindowGrid of_sequence(WindowGrid grid, Index b) {
  grid.first += static_cast<int>(b % grid.windows());
  return grid;
}

/// From pixels (B, H W, C) to tokens (B windows, N, C), or back.
template <class T>
struct MoveWindows {
  T const* from;
  T* to;
  WindowGrid grid;
  Index width;
  bool to_pixels;

  template <class Row>
  ATTN_FUNCTION void operator()(Row const& row, Index i) const {
    using Value = typename Row::Value;
    int const n = grid.tokens(), windows = grid.windows();
    int const place = grid.pixel(static_cast<int>(i / n % windows), static_cast<int>(i % n));
    Index const pixel = i / n / windows * (Index(grid.height) * grid.width) + place;
    if (to_pixels) {
      if (place < 0) return;
      row.for_columns(
          width, [&](auto lanes, Index c) { lanes.store(to + pixel * width + c, lanes.load(from + i * width + c)); });
    } else {
      row.for_columns(width, [&](auto lanes, Index c) {
        lanes.store(to + i * width + c, place < 0 ? Value(0) : lanes.load(from + pixel * width + c));
      });
    }
  }
};

/// Where tokens stand, for each kind of window: codes[i] = y (2 w - 1) + x of token i, so that a difference of codes is
/// a row of the table of relative positions, but for a constant; and ranks[y w + x], the token that stands there.
struct MakeWindowTables {
  WindowGrid grid;
  int* codes;  // (kinds, N)
  int* ranks;  // (kinds, N)
  ATTN_FUNCTION void operator()(Index index) const {
    int const n = grid.tokens(), kind = static_cast<int>(index / n), i = static_cast<int>(index % n);
    WindowGrid::Place const p = grid.place(kind, i);
    codes[index] = p.y * (2 * grid.window_width - 1) + p.x;
    ranks[kind * n + p.y * grid.window_width + p.x] = i;
  }
};

/// values(w, h, i, j) = table(code_i - code_j + centre, h), a row (w, h, i) at a time.
template <class R>
struct GatherBias {
  WindowGrid grid;
  R const* table;  // ((2 window_height - 1) (2 window_width - 1), heads)
  int const* codes;
  R* values;  // (windows, heads, N, N), `step` from row to row
  Index heads, step;

  template <class Row>
  ATTN_FUNCTION void operator()(Row const& row, Index r) const {
    int const n = grid.tokens(), window = static_cast<int>(r / n / heads);
    Index const h = r / n % heads;
    int const* const kind_codes = codes + grid.kind(window) * n;
    int const code = kind_codes[r % n] + (grid.window_height - 1) * (2 * grid.window_width - 1) + grid.window_width - 1;
    row.for_columns(n, [&](auto lanes, Index j) {
      lanes.store(values + r * step + j,
                  lanes.generate([&](int lane) { return table[(code - kind_codes[j + lane]) * heads + h]; }));
    });
  }
};

/// to(h, i, j) = from(h, rank_i, rank_j): from the order of a window's tokens to that of its pixels. Rows are (h, i).
template <class T>
struct InRowsOfWindow {
  T const* from;  // (heads, N, N)
  int const* ranks;
  T* to;
  Index n;

  template <class Lanes>
  ATTN_FUNCTION void operator()(Lanes lanes, Index row, Index column) const {
    T const* const of_query = from + (row / n * n + ranks[row % n]) * n;
    using S = RealOf<typename Lanes::Value>;
    lanes.store(to + row * n + column,
                lanes.generate([&](int lane) { return static_cast<S>(of_query[ranks[column + lane]]); }));
  }
};

/// sums(kind, h, i, j): the gradients of the windows of a kind, of one image or several, added up.
template <class R>
struct SumWindows {
  WindowGrid grid;
  R const* d_values;  // (windows, heads, N, N)
  R* sums;            // (kinds, heads, N, N)
  Index heads, windows;

  template <class Lanes>
  ATTN_FUNCTION void operator()(Lanes lanes, Index row, Index column) const {
    Index const n = grid.tokens(), rows = heads * n;  // of a window
    int const kind = static_cast<int>(row / rows);
    typename Lanes::Value sum(R(0));
    for (Index w = 0; w < windows; ++w) {
      if (grid.kind(static_cast<int>(w % grid.windows())) != kind) continue;
      sum += lanes.load(d_values + (w * rows + row % rows) * n + column);
    }
    lanes.store(sums + row * n + column, sum);
  }
};

/// forward: values(i, j) = table(code_i - code_j + centre); hence d_table(t) += the sum over the pairs at its distance.
template <class R>
struct ScatterBias {
  WindowGrid grid;
  R const* sums;
  int const* ranks;
  R* d_table;
  Index heads;

  ATTN_FUNCTION void operator()(Index index) const {
    int const width = grid.window_width, height = grid.window_height, n = grid.tokens();
    int const t = static_cast<int>(index / heads);
    Index const h = index % heads;
    int const dy = t / (2 * width - 1) - (height - 1), dx = t % (2 * width - 1) - (width - 1);  // of query less key
    R sum = 0;
    for (int kind = 0; kind < grid.kinds(); ++kind) {
      R const* const of_head = sums + (kind * heads + h) * n * n;
      int const* const rank = ranks + kind * n;
      for (int y = dy > 0 ? dy : 0; y < height + (dy < 0 ? dy : 0); ++y) {
        for (int x = dx > 0 ? dx : 0; x < width + (dx < 0 ? dx : 0); ++x) {
          sum += of_head[rank[y * width + x] * n + rank[(y - dy) * width + x - dx]];
        }
      }
    }
    d_table[index] += sum;
  }
};

}  // namespace detail
}  // namespace attn::nn
