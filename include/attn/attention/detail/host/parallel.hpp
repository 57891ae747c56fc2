/// How host kernels share work among threads, and where their scratch memory comes from.
#pragma once

#include "attn/core/concepts.hpp"

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <memory>
#include <mutex>
#include <new>
#include <string>
#include <vector>

namespace attn::detail::host {

inline constexpr std::size_t scratch_alignment = 64;

/// Memory for the length of one call. Blocks are kept by the process and lent again, so that calls of shapes that were
/// seen before allocate nothing.
class Scratch {
 public:
  explicit Scratch(std::size_t bytes) {
    {
      std::lock_guard const lock(pool().mutex);
      auto& idle = pool().idle;
      auto const enough = std::find_if(idle.begin(), idle.end(), [&](Block const& b) { return b.bytes >= bytes; });
      if (enough != idle.end()) {  // sorted: the smallest that is large enough
        block_ = std::move(*enough);
        idle.erase(enough);
        return;
      }
      if (!idle.empty()) idle.pop_back();  // outgrown: the new block replaces the largest
    }
    block_.memory.reset(new (std::align_val_t(scratch_alignment)) std::byte[std::max<std::size_t>(bytes, 1)]);
    block_.bytes = bytes;
  }
  ~Scratch() {
    std::lock_guard const lock(pool().mutex);
    auto& idle = pool().idle;
    auto const place = std::find_if(idle.begin(), idle.end(), [&](Block const& b) { return b.bytes >= block_.bytes; });
    idle.insert(place, std::move(block_));
  }
  Scratch(Scratch const&) = delete;
  Scratch& operator=(Scratch const&) = delete;

  std::byte* data() const { return block_.memory.get(); }

 private:
  struct Free {
    void operator()(std::byte* p) const { ::operator delete[](p, std::align_val_t(scratch_alignment)); }
  };
  struct Block {
    std::unique_ptr<std::byte[], Free> memory;
    std::size_t bytes = 0;
  };
  struct Pool {
    std::mutex mutex;
    std::vector<Block> idle;
  };
  static Pool& pool() {
    static Pool pool;
    return pool;
  }

  Block block_;
};

/// An arena: hands out aligned arrays from a piece of memory, one behind the other. Without memory it only counts, so
/// that the same code says how much is needed and takes it.
class Arena {
 public:
  explicit Arena(std::byte* memory = nullptr) : memory_(memory) {}

  template <class T>
  T* take(Index count) {
    std::size_t const start = used_;
    used_ +=
        (static_cast<std::size_t>(count) * sizeof(T) + scratch_alignment - 1) / scratch_alignment * scratch_alignment;
    return memory_ == nullptr ? nullptr : reinterpret_cast<T*>(memory_ + start);
  }
  std::size_t used() const { return used_; }

 private:
  std::byte* memory_;
  std::size_t used_ = 0;
};

/// How many threads take part in `n_items` pieces of work.
template <HostExecutionSpace Exec>
int workers(Exec const& exec, Index n_items) {
  return static_cast<int>(std::clamp<Index>(exec.concurrency(), 1, std::max<Index>(n_items, 1)));
}

/// Calls body(first, last, worker) until all items are done: each worker takes `chunk` items at a time, in order.
/// Which worker does an item must not matter to its result. Returns when all is done.
template <HostExecutionSpace Exec, class Body>
void share(std::string const& name, Exec const& exec, Index n_items, Index chunk, Body const& body) {
  std::atomic<Index> next{0};
  auto const work = [&](int worker) {
    for (Index first; (first = next.fetch_add(chunk, std::memory_order_relaxed)) < n_items;) {
      body(first, std::min(first + chunk, n_items), worker);
    }
  };
  Kokkos::parallel_for(name, Kokkos::RangePolicy<Exec>(exec, 0, workers(exec, n_items), Kokkos::ChunkSize(1)), work);
  exec.fence(name);
}

}  // namespace attn::detail::host
