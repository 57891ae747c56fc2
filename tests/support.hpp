// What many tests need: arrays where kernels run, golden files, an instance of one thread.
#pragma once

#include "attn/core/random.hpp"
#include "attn/io/npy.hpp"
#include "attn/testing/allclose.hpp"
#include "attn/testing/tolerance.hpp"

#include <gtest/gtest.h>

#include <string>
#include <vector>

namespace attn_test {

using attn::Extents;
using attn::Index;
using attn::Tensor;
using Exec = Kokkos::DefaultExecutionSpace;
using Memory = Exec::memory_space;

/// Memory of its own where kernels run, with the shape of a tensor.
template <class T, int Rank>
class Array {
 public:
  explicit Array(Extents<Rank> const& extents, std::vector<double> const& values = {})
      : extents_(extents), memory_("array", std::size_t(Tensor<T, Rank, Memory>(nullptr, extents).size())) {
    if (!values.empty()) *this = values;
  }
  Array& operator=(std::vector<double> const& values) {
    auto const host = Kokkos::create_mirror_view(memory_);
    if (values.size() != host.extent(0)) throw std::logic_error("Array: wrong number of values");
    for (std::size_t i = 0; i < values.size(); ++i) host(i) = T(values[i]);
    Kokkos::deep_copy(memory_, host);
    return *this;
  }
  Tensor<T, Rank, Memory> tensor() const { return {memory_.data(), extents_}; }
  operator Tensor<T, Rank, Memory>() const { return tensor(); }
  operator Tensor<T const, Rank, Memory>() const { return tensor(); }
  std::vector<double> numbers() const { return attn::testing::detail::host_numbers(tensor()); }

 private:
  Extents<Rank> extents_;
  Kokkos::View<T*, Memory> memory_;
};

/// Standard normal numbers, fixed by `stream`.
inline std::vector<double> random_numbers(Index n, std::uint64_t stream) {
  std::vector<double> x;
  for (Index i = 0; i < n; ++i) {
    x.push_back(double(attn::normal<float>({.seed = 11, .stream = stream}, std::uint64_t(i))));
  }
  return x;
}
template <class T, int Rank>
Array<T, Rank> random_array(Extents<Rank> const& extents, std::uint64_t stream) {
  return Array<T, Rank>(extents, random_numbers(Tensor<T, Rank, Memory>(nullptr, extents).size(), stream));
}

inline std::string golden_path(std::string const& file) { return std::string(ATTN_GOLDEN_DIR) + "/" + file; }
inline std::vector<double> golden(std::string const& file) {
  return attn::io::read_npy(golden_path(file + ".npy")).as<double>();
}
template <class T, int Rank>
Array<T, Rank> golden_array(std::string const& file) {
  auto const array = attn::io::read_npy(golden_path(file + ".npy"));
  if (array.shape.size() != std::size_t(Rank)) throw std::logic_error(file + ": wrong rank");
  Extents<Rank> extents{};
  for (int r = 0; r < Rank; ++r) extents[r] = Index(array.shape[std::size_t(r)]);
  if constexpr (std::is_integral_v<T>) {
    auto const integers = array.as<T>();
    return Array<T, Rank>(extents, std::vector<double>(integers.begin(), integers.end()));
  } else {
    return Array<T, Rank>(extents, array.as<double>());
  }
}

/// An instance that runs on one thread, where the space can be divided.
inline Exec one_thread() { return Kokkos::Experimental::partition_space(Exec(), 1, 1)[0]; }

/// The message of the attn::Error that `f` throws; empty where it throws none.
template <class F>
std::string error_of(F const& f) {
  try {
    f();
  } catch (attn::Error const& e) {
    return e.what();
  }
  return {};
}

}  // namespace attn_test

/// EXPECT_SOUND(allclose(a, b, 1e-6)): the failure says what is wrong.
#define EXPECT_SOUND(...)                                      \
  do {                                                         \
    attn::testing::Verdict const attn_verdict = __VA_ARGS__;   \
    EXPECT_TRUE(bool(attn_verdict)) << attn_verdict.message(); \
  } while (false)
