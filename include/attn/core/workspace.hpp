/// Workspace: where temporaries and tapes come from, so that a training step allocates nothing after the first.
#pragma once

#include "attn/core/tensor.hpp"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <vector>

namespace attn {

/// A stack of memory in one space. `tensor` takes from its top; a `Scope` gives back what was taken during its life;
/// `reset` gives back everything. Memory is never returned to the system before the workspace dies, so a second step
/// of the same shape allocates nothing. Elements are not initialised.
///
/// Work on one execution space instance is ordered, hence memory may be given back while kernels that use it still
/// run on that instance. A workspace serves one instance.
template <class MemorySpace>
class Workspace {
  struct Position {
    std::size_t block = 0;
    std::size_t offset = 0;
  };

 public:
  Workspace() = default;
  Workspace(Workspace const&) = delete;
  Workspace& operator=(Workspace const&) = delete;

  /// A contiguous tensor of the given shape, aligned to `alignment` bytes.
  template <class T, class... Sizes>
  Tensor<T, int(sizeof...(Sizes)), MemorySpace> tensor(Sizes... extents) {
    Tensor<T, int(sizeof...(Sizes)), MemorySpace> const shape(nullptr, {static_cast<Index>(extents)...});
    return {static_cast<T*>(take(static_cast<std::size_t>(shape.size()) * sizeof(T))), shape.extents()};
  }

  /// Gives everything back. Tensors taken before must not be used after.
  void reset() { top_ = {}; }

  /// Bytes held from the system.
  std::size_t capacity() const {
    std::size_t bytes = 0;
    for (auto const& block : blocks_) bytes += block.extent(0);
    return bytes;
  }

  /// Gives back, when it dies, what was taken while it lived.
  class Scope {
   public:
    explicit Scope(Workspace& workspace) : workspace_(workspace), saved_(workspace.top_) {}
    ~Scope() { workspace_.top_ = saved_; }
    Scope(Scope const&) = delete;
    Scope& operator=(Scope const&) = delete;

   private:
    Workspace& workspace_;
    Position saved_;
  };

  static constexpr std::size_t alignment = 256;

 private:
  using Block = Kokkos::View<std::byte*, MemorySpace>;

  void* take(std::size_t bytes) {
    bytes = (bytes + alignment - 1) / alignment * alignment;
    while (top_.block < blocks_.size() && top_.offset + bytes > usable(blocks_[top_.block])) {
      top_ = {top_.block + 1, 0};
    }
    if (top_.block == blocks_.size()) {
      std::size_t const grown = std::max({bytes, capacity() / 2, smallest_block});
      blocks_.emplace_back(Kokkos::view_alloc(Kokkos::WithoutInitializing, "attn::Workspace"), grown + alignment);
      top_.offset = 0;
    }
    std::byte* const start = aligned(blocks_[top_.block].data()) + top_.offset;
    top_.offset += bytes;
    return start;
  }

  static std::byte* aligned(std::byte* p) {
    auto const address = reinterpret_cast<std::uintptr_t>(p);
    return p + ((alignment - address % alignment) % alignment);
  }
  static std::size_t usable(Block const& block) { return block.extent(0) - alignment; }

  static constexpr std::size_t smallest_block = std::size_t(1) << 20;

  std::vector<Block> blocks_;
  Position top_;
};

}  // namespace attn
