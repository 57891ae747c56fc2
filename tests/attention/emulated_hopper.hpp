/// EmulatedHopper: shared memory, barriers and copies of a Hopper GPU on the host; emulated_warpgroup.hpp multiplies.
///
/// Every deed of a thread, or of an engine that works for it, has a time. Who waits at a barrier comes to know the
/// deeds that those who arrived there know, and who touches memory must know the deeds that it depends on. Thus the
/// emulator throws where a kernel
///   - copies to what a product, a store or a thread has not verifiably done with; reads or multiplies what has not
///     verifiably arrived; lets TMA or products see writes that nobody published to them;
///   - arrives more often than a barrier counts, copies to places without the alignment of the swizzle, or waits for
///   ever.
/// Copies and products come as late as they may.
#pragma once

#include "attn/attention/detail/hopper/tile.hpp"
#include "attn/core/tensor.hpp"

#include <algorithm>
#include <cstring>
#include <map>
#include <utility>

#include "emulated_grid.hpp"

namespace attn_test {

/// What TMA knows of a tensor (B, H, N, D) of numbers of 16 bits, or of fp32: boxes are of `columns` columns, which
/// take 128 bytes or 64, and `rows` rows. Where it `rounds`, fp32 becomes tf32 on the way, to the nearest, halves to
/// the even one.
struct EmulatedMap {
  unsigned char* data = nullptr;
  attn::Extents<4> extents = {}, strides = {};
  int rows = 0, columns = 64, element_bytes = 2;
  bool rounds = false;

  EmulatedMap() = default;
  template <class X, class Memory>
  EmulatedMap(attn::Tensor<X, 4, Memory> const& x, int box_rows, int box_columns = 64)
      : data(const_cast<unsigned char*>(reinterpret_cast<unsigned char const*>(x.data()))),
        rows(box_rows),
        columns(box_columns),
        element_bytes(int(sizeof(X))) {
    for (int r = 0; r < 4; ++r) {
      extents[std::size_t(r)] = x.extent(r);
      strides[std::size_t(r)] = x.stride(r);
      bool const is_aligned = r == 3 || x.extent(r) == 1 || x.stride(r) * element_bytes % 16 == 0;
      ATTN_CHECK(is_aligned && reinterpret_cast<std::uintptr_t>(data) % 16 == 0,
                 "EmulatedHopper: TMA wants rows at multiples of 16 bytes");
    }
  }
  int row_bytes() const { return columns * element_bytes; }
  int bytes() const { return rows * row_bytes(); }
  /// The swizzle's pattern repeats after so many bytes.
  unsigned alignment() const { return unsigned(8 * row_bytes()); }
  /// The element that many rows and columns behind the first of a box; null outside of the tensor.
  unsigned char* element(cuda::BoxPlace const& first, int row, int column) const {
    attn::Index const at[] = {first.batch, first.head, first.row + row, first.column + column};
    attn::Index offset = 0;
    for (std::size_t r = 0; r < 4; ++r) {
      if (at[r] < 0 || at[r] >= extents[r]) return nullptr;
      offset += at[r] * strides[r];
    }
    return data + offset * element_bytes;
  }
  /// Writes an element to shared memory; what is outside of the tensor becomes zero.
  void load(unsigned char* to, unsigned char const* from) const {
    std::uint32_t bits = 0;
    if (from != nullptr) std::memcpy(&bits, from, std::size_t(element_bytes));
    bool const is_finite = (bits & 0x7f800000u) != 0x7f800000u;
    if (rounds && is_finite) bits = (bits + 0xfffu + (bits >> 13 & 1u)) & 0xffffe000u;
    std::memcpy(to, &bits, std::size_t(element_bytes));
  }
};

class HopperEmulator : public EmulatedThreads {
 public:
  /// Where shared memory starts; the kernel must not take it for zero.
  static constexpr unsigned window = 1024;

  /// `grid`: of the blocks that run at the same time, of which this is number `index`; or null.
  HopperEmulator(int warps, std::size_t shared_bytes, EmulatedGrid* grid = nullptr, int index = 0)
      : EmulatedThreads(32 * warps),
        memory(shared_bytes),
        words_(shared_bytes / 4 + 1, unwritten),
        n_warps_(warps),
        grid_(grid),
        index_(index) {}

  /// Runs body(thread) in all threads of one block, whose memory nobody has written.
  void run(std::function<void(int)> const& body) {
    std::fill(memory.begin(), memory.end(), static_cast<unsigned char>(0xff));
    words_.assign(words_.size(), unwritten);
    readers_.assign((memory.size() / 16 + 1) * std::size_t(2 * n_warps_), 0);
    threads_.assign(std::size_t(n_threads), {Clock(agents()), {}, {}, {}});
    for (int t = 0; t < n_threads; ++t) thread(t).clock[t] = 1;
    barriers_.clear();
    read_by_.assign(words_.size(), {});
    crowds_.clear();
    engine_time_.assign(std::size_t(2 * n_warps_), 0);
    EmulatedThreads::run(body);
    for (auto const& [at, b] : barriers_) {
      ATTN_CHECK(b.copies.empty() && b.words.empty(), "EmulatedHopper: bytes arrive at barrier ", at,
                 " that nobody waits for");
    }
    for (Thread const& t : threads_) {
      ATTN_CHECK(t.stores.empty() && t.words.empty(), "EmulatedHopper: a thread ended before its stores or copies did");
    }
  }

  // Threads that wait for one another.

  /// `count` threads from `first` on.
  void meet(int t, int first, int count) {
    Crowd& crowd = crowds_[{first, count}];
    if (crowd.arrived == 0) crowd.gathering = Clock(agents());
    release(t, crowd.gathering);
    if (++crowd.arrived == count) {
      crowd.arrived = 0;
      crowd.known = crowd.gathering;
      ++crowd.generation;
      progress();
    } else {
      wait_until([&, generation = crowd.generation] { return crowd.generation != generation; }, 0, n_threads);
    }
    thread(t).clock.learn(crowd.known);
  }
  void init_barrier(int t, unsigned at, int arrivals) {
    ATTN_CHECK(at % 8 == 0 && at + 8 <= memory.size(), "EmulatedHopper: a barrier at ", at);
    int const agent = n_threads + 2 * n_warps_ + int(barriers_.size());
    ATTN_CHECK(agent < first_told(), "EmulatedHopper: more than ", max_barriers, " barriers");
    barriers_[at] = {.arrivals = arrivals,
                     .missing = arrivals,
                     .agent = agent,
                     .made_by = t,
                     .made_at = thread(t).clock[t],
                     .known = Clock(agents()),
                     .gathering = Clock(agents()),
                     .copies = {},
                     .words = {}};
  }
  void publish_barriers(int t) { publish_writes(t); }
  void arrive(int t, unsigned at, long bytes = 0) {
    Barrier& b = barrier(t, at);
    ATTN_CHECK(b.missing > 0, "EmulatedHopper: more arrivals at barrier ", at, " than the ", b.arrivals, " it counts");
    b.bytes += bytes;
    release(t, b.gathering);
    --b.missing;
    advance(b);
    progress();
  }
  void wait(int t, unsigned at, unsigned parity) {
    Barrier& b = barrier(t, at);
    wait_until(
        [&] {
          if (b.phase % 2 == parity && b.missing == 0) land(b);
          return b.phase % 2 != parity;
        },
        0, n_threads);
    thread(t).clock.learn(b.known);
  }

  // Copies of words, which arrive at a barrier together. What their thread wrote besides is nobody's knowledge then.

  void copy_word(int t, unsigned to, void const* from, int size, int bytes) {
    ATTN_CHECK(to % unsigned(size) == 0 && reinterpret_cast<std::uintptr_t>(from) % unsigned(size) == 0,
               "EmulatedHopper: ", size, " bytes are copied to ", to, " or from a place without their alignment");
    for (unsigned w = to / 4; w < (to + unsigned(size)) / 4; ++w) {
      check_overwrite(t, w, false);
      words_[w] = {t, ~0u, false};  // not even by its thread to be read
    }
    std::memset(memory.data() + to, 0xff, std::size_t(size));
    thread(t).words.push_back({to, size, bytes, from});
  }
  void arrive_with_words(int t, unsigned at) {
    Barrier& b = barrier(t, at);
    ATTN_CHECK(b.missing > 0, "EmulatedHopper: more arrivals at barrier ", at, " than the ", b.arrivals, " it counts");
    for (WordCopy const& c : thread(t).words) {
      b.bytes += c.size;
      for (unsigned w = c.to / 4; w < (c.to + unsigned(c.size)) / 4; ++w) words_[w] = {b.agent, b.phase + 1, false};
      b.words.push_back(c);
    }
    thread(t).words.clear();
    --b.missing;
    advance(b);
    progress();
  }

  // TMA.

  void load_box(int t, unsigned to, EmulatedMap const& map, cuda::BoxPlace const& place, unsigned at) {
    ATTN_CHECK(to % map.alignment() == 0, "EmulatedHopper: a swizzled box at ", to, ", not a multiple of ",
               map.alignment());
    Barrier& b = barrier(t, at);
    ATTN_CHECK(is_published(b.made_by, b.made_at), "EmulatedHopper: TMA does not know of the barrier at ", at);
    int const bytes = map.bytes();
    for (unsigned w = to / 4; w < (to + unsigned(bytes)) / 4; ++w) {
      check_overwrite(t, w, true);
      words_[w] = {b.agent, b.phase + 1, false};
    }
    std::memset(memory.data() + to, 0xff, std::size_t(bytes));  // not a number in any format
    b.copies.push_back({to, map, place});
  }
  void store_box(int t, EmulatedMap const& map, cuda::BoxPlace const& place, unsigned from) {
    ATTN_CHECK(from % map.alignment() == 0, "EmulatedHopper: a swizzled box at ", from, ", not a multiple of ",
               map.alignment());
    int const engine = n_warps_ + t / 32;
    unsigned const time = ++engine_time_[std::size_t(engine)];
    for (unsigned w = from / 4; w < (from + unsigned(map.bytes())) / 4; ++w) {
      check_seen(t, w);
      reader(w, engine) = time;
    }
    thread(t).stores.push_back({from, map, place});
  }
  void wait_for_stores(int t) {
    for (Copy const& c : thread(t).stores) {
      for_box(c, [&](unsigned char* outside, unsigned inside) {
        if (outside) std::memcpy(outside, memory.data() + inside, std::size_t(c.map.element_bytes));
      });
    }
    thread(t).stores.clear();
    int const engine = n_warps_ + t / 32;
    thread(t).clock[n_threads + engine] = engine_time_[std::size_t(engine)];
  }

  // Writes of threads, and reads of products.

  void wrote(int t, unsigned to, unsigned bytes) {
    ATTN_CHECK(to % bytes == 0 && to + bytes <= memory.size(), "EmulatedHopper: ", bytes, " bytes at ", to);
    for (unsigned w = to / 4; w < (to + bytes) / 4; ++w) {
      check_overwrite(t, w, false);
      words_[w] = {t, thread(t).clock[t], true};
    }
  }
  void reads(int t, unsigned from, unsigned bytes) {
    ATTN_CHECK(from % bytes == 0 && from + bytes <= memory.size(), "EmulatedHopper: ", bytes, " bytes at ", from);
    for (unsigned w = from / 4; w < (from + bytes) / 4; ++w) {
      check_known(t, w);
      auto& reads = read_by_[w];
      auto const last = std::find_if(reads.rbegin(), reads.rend(), [&](Read const& r) { return r.thread == t; });
      if (last != reads.rend()) {
        last->time = thread(t).clock[t];
      } else {
        reads.push_back({t, thread(t).clock[t]});
      }
    }
  }
  void publish_writes(int t) {
    thread(t).published.push_back(thread(t).clock[t]);
    ++thread(t).clock[t];
  }
  /// Threads `group` ... start a product that reads 16 bytes for each of these warps.
  void product_reads(int group, unsigned at, int first_warp, int n_warps) {
    ATTN_CHECK(at % 16 == 0 && at + 16 <= memory.size(), "EmulatedHopper: an operand reaches to byte ", at);
    for (unsigned w = at / 4; w < at / 4 + 4; ++w) {
      if (Word const& word = words_[w]; word == unwritten || !(word == last_checked_)) {
        for (int t = group; t < group + cuda::warpgroup; ++t) check_seen(t, w);
        last_checked_ = word;
      }
    }
    for (int warp = first_warp; warp < first_warp + n_warps; ++warp) {
      reader(at / 4, warp) = engine_time_[std::size_t(warp)] + 1;
    }
  }
  /// The products that a warp starts now, and those that a thread knows to be finished.
  unsigned count_product(int group) {
    last_checked_ = unwritten;
    for (int warp = group / 32; warp < group / 32 + 4; ++warp) ++engine_time_[std::size_t(warp)];
    return engine_time_[std::size_t(group / 32)];
  }
  void finish_products(int t, unsigned time) { thread(t).clock[n_threads + t / 32] = time; }

  // What blocks share.

  unsigned count(unsigned* number) {
    if (grid_ != nullptr) grid_->go_on(index_);
    return (*number)++;
  }
  void touch(int t, void const* what) { grid_->touch(index_, t, thread(t).clock, what); }
  void tell(int t, unsigned* number, unsigned value) {
    grid_->tell(index_, t, thread(t).clock, first_told(), number, value);
    ++thread(t).clock[t];
  }
  void hear(int t, unsigned const* number, unsigned value) {
    int const teller = grid_->hear(index_, number, value, [&] {
      progress();  // of others, perhaps
      bool is_back = false;
      wait_until([&] { return std::exchange(is_back, true); }, 0, n_threads);
    });
    unsigned& known = thread(t).clock[first_told() + teller];
    known = std::max(known, value);
  }

  std::vector<unsigned char> memory;

 private:
  static constexpr int max_barriers = 64;

  /// Who wrote 4 bytes, and when; threads have to publish what they write.
  struct Word {
    int writer;
    unsigned time;
    bool by_thread;
    bool operator==(Word const&) const = default;
  };
  static constexpr Word unwritten{-1, 0, false};
  struct Read {
    int thread;
    unsigned time;
  };
  struct Copy {
    unsigned inside;
    EmulatedMap map;
    cuda::BoxPlace place;
  };
  struct WordCopy {
    unsigned to;
    int size, bytes;
    void const* from;
  };
  struct Thread {
    Clock clock;
    std::vector<unsigned> published;
    std::vector<Copy> stores;
    std::vector<WordCopy> words;
  };
  struct Barrier {
    int arrivals = 0, missing = 0, agent = 0, made_by = 0;
    unsigned made_at = 0, phase = 0;
    long bytes = 0;
    Clock known, gathering;
    std::vector<Copy> copies;
    std::vector<WordCopy> words;
  };
  struct Crowd {
    int arrived = 0;
    long generation = 0;
    Clock gathering, known;
  };

  /// Threads, products and stores of each warp, barriers, numbers that blocks tell one another.
  int first_told() const { return n_threads + 2 * n_warps_ + max_barriers; }
  std::size_t agents() const { return std::size_t(first_told() + (grid_ != nullptr ? EmulatedGrid::max_told : 0)); }
  Thread& thread(int t) { return threads_[std::size_t(t)]; }
  unsigned& reader(unsigned word, int engine) {
    return readers_[std::size_t(word / 4) * std::size_t(2 * n_warps_) + std::size_t(engine)];
  }
  /// A thread tells what it knows; what it does from now on is not among it.
  void release(int t, Clock& to) {
    to.learn(thread(t).clock);
    ++thread(t).clock[t];
  }
  Barrier& barrier(int t, unsigned at) {
    auto const b = barriers_.find(at);
    ATTN_CHECK(b != barriers_.end(), "EmulatedHopper: nobody has initialised a barrier at ", at);
    ATTN_CHECK(b->second.made_by == t || thread(t).clock[b->second.made_by] >= b->second.made_at,
               "EmulatedHopper: thread ", t, " does not know of the barrier at ", at);
    return b->second;
  }
  static void advance(Barrier& b) {
    if (b.missing > 0 || b.bytes > 0) return;
    b.gathering[b.agent] = ++b.phase;
    b.known = b.gathering;
    b.missing = b.arrivals;
  }
  void land(Barrier& b) {
    for (Copy const& c : b.copies) {
      for_box(c, [&](unsigned char const* outside, unsigned inside) { c.map.load(memory.data() + inside, outside); });
      b.bytes -= c.map.bytes();
    }
    for (WordCopy const& c : b.words) {
      std::memset(memory.data() + c.to, 0, std::size_t(c.size));
      std::memcpy(memory.data() + c.to, c.from, std::size_t(c.bytes));
      b.bytes -= c.size;
    }
    ATTN_CHECK(b.bytes >= 0, "EmulatedHopper: more bytes arrive at a barrier than it expects");
    if (b.copies.empty() && b.words.empty()) return;
    b.copies.clear();
    b.words.clear();
    advance(b);
    progress();
  }
  /// work(element in the tensor or null, its place in shared memory): the 16-byte chunks of 8 lines of 128 bytes, each
  /// of one row or of two, are exchanged by the number of the line.
  template <class Work>
  static void for_box(Copy const& c, Work const& work) {
    unsigned const chunks = unsigned(c.map.row_bytes() / 16);
    for (int row = 0; row < c.map.rows; ++row) {
      for (int column = 0; column < c.map.columns; ++column) {
        unsigned const straight = c.inside + unsigned((row * c.map.columns + column) * c.map.element_bytes);
        work(c.map.element(c.place, row, column), straight ^ (straight / 128 % chunks * 16));
      }
    }
  }

  /// Thread t writes a word, or lets TMA do so: it must know what was done there.
  void check_overwrite(int t, unsigned w, bool by_copy) {
    Word const& word = words_[w];
    Clock const& known = thread(t).clock;
    ATTN_CHECK(word.writer < 0 || word.writer == t || known[word.writer] >= word.time, "EmulatedHopper: thread ", t,
               " overwrites byte ", 4 * w, ", written by ", word.writer, " without its knowing");
    if (by_copy && word.by_thread) check_published(t, w);
    for (auto const& [reader, time] : read_by_[w]) {
      ATTN_CHECK(reader == t || known[reader] >= time, "EmulatedHopper: thread ", t, " overwrites byte ", 4 * w,
                 ", which thread ", reader, " may still read");
    }
    read_by_[w].clear();
    for (int engine = 0; engine < 2 * n_warps_; ++engine) {
      ATTN_CHECK(known[n_threads + engine] >= reader(w, engine), "EmulatedHopper: thread ", t, " overwrites byte ",
                 4 * w, ", which a ", engine < n_warps_ ? "product" : "store", " of warp ", engine % n_warps_,
                 " may still read");
    }
  }
  /// A product or a store of thread t reads a word.
  void check_seen(int t, unsigned w) {
    Word const& word = words_[w];
    check_known(t, w);
    if (word.by_thread) check_published(t, w);
  }
  void check_known(int t, unsigned w) {
    Word const& word = words_[w];
    ATTN_CHECK(word.writer >= 0, "EmulatedHopper: a read of byte ", 4 * w, ", which nobody wrote");
    ATTN_CHECK((word.writer == t && word.time != ~0u) || thread(t).clock[word.writer] >= word.time,
               "EmulatedHopper: thread ", t, " reads byte ", 4 * w, " before it knows that it is there");
  }
  bool is_published(int writer, unsigned time) {
    std::vector<unsigned> const& times = thread(writer).published;
    return !times.empty() && times.back() >= time;
  }
  void check_published(int t, unsigned w) {
    Word const& word = words_[w];
    std::vector<unsigned> const& times = thread(word.writer).published;
    auto const at = std::lower_bound(times.begin(), times.end(), word.time);
    ATTN_CHECK(at != times.end() && (word.writer == t || thread(t).clock[word.writer] > *at),
               "EmulatedHopper: an engine touches byte ", 4 * w, ", which thread ", word.writer,
               " wrote and did not publish");
  }

  std::vector<Word> words_;
  int n_warps_;
  EmulatedGrid* grid_;
  int index_;
  Word last_checked_ = unwritten;  ///< no check passes it
  std::vector<unsigned> readers_, engine_time_;
  std::vector<Thread> threads_;
  std::vector<std::vector<Read>> read_by_;  ///< threads' last reads of a word
  std::map<unsigned, Barrier> barriers_;
  std::map<std::pair<int, int>, Crowd> crowds_;
};

}  // namespace attn_test
