// A host space that remembers its launches: what a CUDA graph does with those of a stream. It runs each at once, and
// can run them again, with the functors as they were.
#pragma once

#include <Kokkos_Core.hpp>

#include <cstring>
#include <functional>
#include <vector>

namespace attn_test {

inline std::vector<std::function<void()>> recorded_launches;

class Recorded : public Kokkos::DefaultHostExecutionSpace {
 public:
  using execution_space = Recorded;
  using memory_space = Kokkos::HostSpace;
  using device_type = Kokkos::Device<Recorded, memory_space>;
};

}  // namespace attn_test

template <class Functor, class... Traits>
class Kokkos::Impl::ParallelFor<Functor, Kokkos::RangePolicy<Traits...>, attn_test::Recorded> {
 public:
  using Policy = Kokkos::RangePolicy<Traits...>;
  ParallelFor(Functor const& functor, Policy const& policy) : functor_(functor), policy_(policy) {}

  void execute() const {
    auto const run = [functor = functor_, begin = policy_.begin(), end = policy_.end()] {
      for (auto i = begin; i < end; ++i) functor(i);
    };
    run();
    attn_test::recorded_launches.push_back(run);
  }

 private:
  Functor functor_;
  Policy policy_;
};

template <>
struct Kokkos::Tools::Experimental::DeviceTypeTraits<attn_test::Recorded>
    : Kokkos::Tools::Experimental::DeviceTypeTraits<Kokkos::DefaultHostExecutionSpace> {};

/// Copies are for what is made once, and not remembered.
template <>
inline void Kokkos::Impl::hostspace_parallel_deepcopy_async<attn_test::Recorded>(attn_test::Recorded const&, void* to,
                                                                                 void const* from,
                                                                                 std::ptrdiff_t bytes) {
  std::memcpy(to, from, std::size_t(bytes));
}
