/// LaunchMemory: where a launch leaves what a later launch of the same call adds up.
#pragma once

#include "attn/attention/detail/host/parallel.hpp"
#include "attn/core/check.hpp"

#include <cstddef>
#include <utility>
#include <vector>

namespace attn::detail {

/// The most that a call on a device may ask for.
inline constexpr Index most_launch_bytes = Index(16) << 20;

/// Up to `most_launch_bytes` for the launches of one call on one instance.
///
/// Work on an instance of a device is ordered, so its calls share one piece of memory, which is made at first use,
/// never grows (a graph may have recorded where it is) and is freed when Kokkos ends. Hence a graph that recorded such
/// a call must not be replayed beside other work of the instance that recorded it, as with the scratch memory of matrix
/// products. Hosts lend and take back what a call needs. Host code of one thread for a device, of any on hosts.
template <ExecutionSpace Exec>
class LaunchMemory {
  using Memory = Kokkos::View<std::byte*, typename Exec::memory_space>;

 public:
  LaunchMemory(Exec const& exec, Index bytes) : data_(memory_of(exec)) {
    ATTN_CHECK(bytes <= most_launch_bytes, "attention: split the batch, its launches want ", bytes,
               " bytes for what they leave to one another, more than ", most_launch_bytes);
  }
  std::byte* data() const { return data_; }

 private:
  static std::byte* memory_of(Exec const& exec) {
    static std::vector<std::pair<Exec, Memory>> all;
    if (all.empty()) Kokkos::push_finalize_hook([] { all.clear(); });
    for (auto const& [instance, memory] : all) {
      if (instance == exec) return memory.data();
    }
    all.emplace_back(exec, Memory(Kokkos::view_alloc(Kokkos::WithoutInitializing, "attn::LaunchMemory"),
                                  std::size_t(most_launch_bytes)));
    return all.back().second.data();
  }

  std::byte* data_;
};

template <HostExecutionSpace Exec>
class LaunchMemory<Exec> {
 public:
  LaunchMemory(Exec const& exec, Index bytes) : exec_(exec), scratch_(static_cast<std::size_t>(bytes)) {}
  ~LaunchMemory() { exec_.fence("attn::LaunchMemory"); }
  std::byte* data() const { return scratch_.data(); }

 private:
  Exec exec_;
  host::Scratch scratch_;
};

}  // namespace attn::detail
