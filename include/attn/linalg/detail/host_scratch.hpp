/// Memory of the host that a thread keeps between calls, so that a repeated call allocates nothing.
#pragma once

#include "attn/core/concepts.hpp"
#include "attn/core/scalar.hpp"

#include <cstddef>
#include <memory>

namespace attn::linalg::detail {

/// `size` reals of the calling thread, not initialised, valid until the thread asks again for the same use.
template <Real T, int Use = 0>
T* host_scratch(Index size) {
  thread_local std::unique_ptr<T[]> memory;
  thread_local Index held = 0;
  if (held < size) {
    memory.reset(new T[static_cast<std::size_t>(size)]);
    held = size;
  }
  return memory.get();
}

}  // namespace attn::linalg::detail
