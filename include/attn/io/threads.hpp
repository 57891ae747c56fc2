/// How many threads may the host have? Asked before Kokkos starts, which does not ask.
#pragma once

#include "attn/core/check.hpp"

#include <charconv>
#include <cstdlib>
#include <string_view>
#include <thread>

namespace attn::io {

/// Places in Kokkos' pool of OpenMP threads. With one more it waits for ever, with some more it writes beyond the pool.
inline constexpr int most_threads = 512;

/// The number of threads that Kokkos is to be started with: `asked`, or for 0 what it would take by itself (then the
/// result is 0), but no more than there is room for. Environment variables that ask for more are an error, since the
/// OpenMP runtime obeys them whatever the program says.
inline int threads_to_start(int asked) {
  ATTN_CHECK(asked >= 0 && asked <= most_threads, "--threads: use a whole number from 0 to ", most_threads, ", got ",
             asked);
  bool told = asked > 0;
  for (char const* const variable : {"KOKKOS_NUM_THREADS", "OMP_NUM_THREADS"}) {
    char const* const text = std::getenv(variable);
    if (text == nullptr) continue;
    std::string_view const all = text;
    std::size_t const begin = std::min(all.find_first_not_of(" \t"), all.size());
    unsigned long long number = 0;  // OpenMP takes a list, a number for each level; the first is the one that counts
    auto const [end, error] = std::from_chars(all.data() + begin, all.data() + all.size(), number);
    bool const too_large = error == std::errc::result_out_of_range || number > std::size_t(most_threads);
    ATTN_CHECK(!too_large, variable, ": use at most ", most_threads, " threads, got ", all);
    told = told || (error == std::errc() && number > 0);
  }
  bool const larger_machine = std::thread::hardware_concurrency() > unsigned(most_threads);
  return !told && larger_machine ? most_threads : asked;
}

}  // namespace attn::io
