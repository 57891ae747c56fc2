/// Tiles as Hopper's warpgroups multiply them, the pipelines through which they stream, and how registers are shared
/// out between the warps that copy and those that multiply.
#pragma once

#include "attn/attention/detail/cuda/products.hpp"
#include "attn/attention/detail/hopper/block.hpp"

namespace attn::detail::cuda {

/// `consumers` warpgroups multiply, one behind them copies; 65536 registers are there for all. Two get `many` where the
/// copying warp can do with fewer.
template <int consumers_, bool many = false>
struct HopperThreads {
  static constexpr int consumers = consumers_, threads = warpgroup * (consumers + 1), warps = threads / 32;
  static constexpr int producer_registers = consumers == 2 && !many ? 40 : 32;
  static constexpr int consumer_registers = consumers == 2 ? (many ? 240 : 232) : 160;
};

/// An operand in shared memory ("Matrix descriptor" in the PTX ISA) whose 16-byte chunks are swizzled over rows of
/// 128 or 64 bytes: where it starts, `offset` behind `start`, and how far apart its parts lie, all multiples of 16
/// bytes. Shared memory ends before the 2^18 bytes that 14 bits of a descriptor reach: operands of one start cost one
/// addition each.
template <int row_bytes = 128>
ATTN_FUNCTION constexpr std::uint64_t matrix_descriptor(unsigned start, unsigned leading, unsigned stride,
                                                        unsigned offset = 0) {
  auto const encode = [](unsigned bytes) { return (bytes & 0x3ffff) / 16; };
  constexpr std::uint64_t swizzle = row_bytes == 128 ? 1 : 2;
  unsigned const low = (encode(start) | encode(leading) << 16) + offset / 16;
  return low | std::uint64_t(encode(stride)) << 32 | swizzle << 62;
}

/// How many columns of heads of `width` lie together, numbers of so many bytes each: what TMA and wgmma swizzle is of
/// 128 bytes at most.
template <int width, int bytes = 2>
inline constexpr int panel_columns = width < 128 / bytes ? width : 128 / bytes;

/// `rows` rows, a multiple of 8, of numbers of `bytes` bytes: one panel of `panel_columns` columns after the other,
/// rows of 128 bytes or of 64, from a multiple of the bytes of 8 rows of a panel on. In a panel, the chunks of
/// SharedTile lie where TMA puts them and wgmma finds them.
template <int rows, int columns_ = 64, int bytes = 2>
struct Panels {
  static constexpr int row_bytes = bytes * columns_, panel_bytes = rows * row_bytes;
  static constexpr int chunks = row_bytes / 16, steps = row_bytes / 32;
  unsigned start;

  ATTN_FUNCTION unsigned panel(int p) const { return start + unsigned(p * panel_bytes); }
  ATTN_FUNCTION unsigned chunk(int row, int chunk) const {
    return SharedTile<row_bytes>{panel(chunk / chunks)}.chunk(row, chunk % chunks);
  }
  /// From the place of chunk 0 or 1 of a row to that 2 `pairs` chunks further: what a lane knows stays in one register.
  static ATTN_FUNCTION unsigned further(unsigned place, int pairs) {
    return (place ^ unsigned(pairs % steps * 32)) + unsigned(pairs / steps * panel_bytes);
  }
  /// The 32 bytes `step` of all rows, 16 columns or 8, to sum over the columns. Eight rows lie before the next eight;
  /// the other distance has no meaning here.
  template <class Block>
  ATTN_FUNCTION std::uint64_t columns(Block const& block, int step) const {
    return matrix_descriptor<row_bytes>(block.address(start), 16, 8 * row_bytes,
                                        unsigned(step / steps * panel_bytes + step % steps * 32));
  }
  /// Rows 16 `step` ... 16 `step` + 15 of panels from `p` on, to sum over the rows.
  template <class Block>
  ATTN_FUNCTION std::uint64_t rows_of(Block const& block, int step, int p) const {
    return matrix_descriptor<row_bytes>(block.address(start), panel_bytes, 8 * row_bytes,
                                        unsigned(p * panel_bytes + step * 16 * row_bytes));
  }
};

/// A pipeline of `stages` buffers in shared memory, which one warp fills and warpgroups empty in turn. Use i of the
/// pipeline is use i / stages of buffer i % stages. Two barriers of a buffer say when it is full and when it is empty
/// again; their phases are its uses.
template <int stages, int bytes>
struct Pipeline {
  static constexpr int size = stages, all_bytes = stages * bytes, barrier_bytes = stages * 16;
  unsigned start, barriers;

  ATTN_FUNCTION unsigned stage(unsigned i) const { return start + i % stages * bytes; }
  ATTN_FUNCTION unsigned full(unsigned i) const { return barriers + i % stages * 16; }
  ATTN_FUNCTION unsigned empty(unsigned i) const { return full(i) + 8; }

  template <class Block>
  ATTN_FUNCTION void init(Block const& block, int writers, int readers) const {
    init(block, writers, readers, readers);
  }
  /// Where odd uses have other readers, of an even number of stages.
  template <class Block>
  ATTN_FUNCTION void init(Block const& block, int writers, int readers, int odd_readers) const {
    for (unsigned i = 0; i < stages; ++i) {
      block.init_barrier(full(i), writers);
      block.init_barrier(empty(i), i % 2 == 0 ? readers : odd_readers);
    }
  }
  template <class Block>
  ATTN_FUNCTION void wait_full(Block const& block, unsigned i) const {
    block.wait(full(i), i / stages % 2);
  }
  /// Until those have read it who were to read what lay there before.
  template <class Block>
  ATTN_FUNCTION void wait_empty(Block const& block, unsigned i) const {
    block.wait(empty(i), (i / stages + 1) % 2);
  }
};

/// How many stages of `bytes`, at most 8, fit into 227 KiB beside `others` and barriers.
constexpr int pipeline_stages(int others, int bytes) {
  int const n = (226 * 1024 - others) / bytes;
  return n < 8 ? n : 8;
}

/// Starts to copy boxes of the columns of a panel from `place` on to panels, or back.
template <int panels, int rows, int columns, int bytes, class Block, class Map>
ATTN_FUNCTION void load_panels(Block const& block, Map const& map, Panels<rows, columns, bytes> to, BoxPlace place,
                               unsigned barrier) {
  for (int p = 0; p < panels; ++p, place.column += columns) block.load_box(to.panel(p), map, place, barrier);
}
template <int panels, int rows, int columns, int bytes, class Block, class Map>
ATTN_FUNCTION void store_panels(Block const& block, Map const& map, BoxPlace place, Panels<rows, columns, bytes> from) {
  for (int p = 0; p < panels; ++p, place.column += columns) block.store_box(map, place, from.panel(p));
}

/// 64 rows of tf32 as left operands in registers, four numbers a lane for each step of 8 columns, as mma.sync has them.
/// From shared memory, products of 64 columns would read as much of them as of the columns.
template <int steps>
struct LeftOperands {
  std::uint32_t bits[steps][4];

  template <int columns, class Block>
  ATTN_FUNCTION LeftOperands(Block const& block, Panels<64, columns, 4> rows) {
    int const thread = block.anew(block.thread() % warpgroup), lane = thread % 32;
    unsigned const place = rows.chunk(thread / 32 * 16 + lane / 4, 0) + unsigned(lane % 4 * 4);
    ATTN_UNROLL
    for (int i = 0; i < 4 * steps; ++i) {  // rows 0 ... 7, then 8 ... 15, of the first 16 bytes, then the last
      unsigned const of_row = place + unsigned(i % 2 * 8 * rows.row_bytes);
      bits[i / 4][i % 4] = block.template read<std::uint32_t>(rows.further(of_row ^ unsigned(i % 4 / 2 * 16), i / 4));
    }
    block.warp_barrier();  // others may write there
  }
};
/// The rows of a warpgroup, of `width` columns, as its products take them: numbers of 16 bits from where they lie.
template <int width, int columns, class Block>
ATTN_FUNCTION Panels<64, columns> left_operands(Block const&, Panels<64, columns> rows) {
  return rows;
}
template <int width, int columns, class Block>
ATTN_FUNCTION LeftOperands<width / 8> left_operands(Block const& block, Panels<64, columns, 4> rows) {
  return {block, rows};
}

/// Starts s (64, 8 n) = q k^T over `width` columns.
template <Format F, int width, int n_tiles, int q_rows, int k_rows, int columns, class Block>
ATTN_FUNCTION void start_scores(Block const& block, float (&s)[n_tiles][4], Panels<q_rows, columns> q,
                                Panels<k_rows, columns> k) {
  ATTN_UNROLL
  for (int step = 0; step < width / 16; ++step) {
    block.template multiply_by_rows<F>(s, q.columns(block, step), k.columns(block, step), step > 0);
  }
}
template <Format F, int width, int n_tiles, int k_rows, int columns, class Block>
ATTN_FUNCTION void start_scores(Block const& block, float (&s)[n_tiles][4], LeftOperands<width / 8> const& q,
                                Panels<k_rows, columns, 4> k) {
  ATTN_UNROLL
  for (int step = 0; step < width / 8; ++step) {
    block.template multiply_by_rows<F>(s, q.bits[step], k.columns(block, step), step > 0);
  }
}

/// Starts sum (64, width) += w (64, rows) v; the sum in parts of 8 n_tiles columns.
template <Format F, int parts, int n_tiles, int steps, int rows, int columns, class Block>
ATTN_FUNCTION void start_sums(Block const& block, float (&sum)[parts][1][n_tiles][4], Registers<F, 4> const (&w)[steps],
                              Panels<rows, columns> v) {
  ATTN_UNROLL
  for (int step = 0; step < steps; ++step) {
    ATTN_UNROLL
    for (int part = 0; part < parts; ++part) {
      block.template multiply_by_columns<F>(sum[part][0], w[step].bits,
                                            v.rows_of(block, step, part * 8 * n_tiles / columns));
    }
  }
}
/// The same by v^T (width, 8 steps), whose columns lie in the order of TransposedValues.
template <Format F, int n_tiles, int steps, int columns, class Block>
ATTN_FUNCTION void start_sums(Block const& block, float (&sum)[1][1][n_tiles][4], Registers<F, 4> const (&w)[steps],
                              Panels<8 * n_tiles, columns, 4> v) {
  ATTN_UNROLL
  for (int step = 0; step < steps; ++step) {
    block.template multiply_by_rows<F>(sum[0][0], w[step].bits, v.columns(block, step), true);
  }
}

/// A sum (64, 8 n_tiles) as a left operand.
template <Format F, int steps, int n_tiles>
ATTN_FUNCTION void take_operand(Registers<F, 4> (&left)[steps], float const (&sum)[n_tiles][4]) {
  ATTN_UNROLL
  for (int step = 0; step < steps; ++step) left[step] = sum_as_left_operand<F>(sum, step);
}

/// Rounds a sum (64, width) in parts, times `factor(half)`, and puts it into panels.
template <Format F, int parts, int n_tiles, int columns, int bytes, class Block, class Factor>
ATTN_FUNCTION void put_panels(Block const& block, float const (&sum)[parts][1][n_tiles][4],
                              Panels<64, columns, bytes> to, Factor const& factor) {
  using Narrow = std::conditional_t<F == Format::bf16, BFloat16, Float16>;
  using X = std::conditional_t<is_narrow<F>, Narrow, float>;
  int const thread = int(unsigned(block.anew(block.thread())) % warpgroup);
  ATTN_UNROLL
  for (int part = 0; part < parts; ++part) {
    put_sum<X>(block, sum[part], Panels<64, columns, bytes>{to.panel(part * 8 * n_tiles / columns)}, thread / 32 * 16,
               thread % 32, [&](int, int half) { return factor(half); });
  }
}

}  // namespace attn::detail::cuda
