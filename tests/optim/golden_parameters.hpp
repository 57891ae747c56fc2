// The parameters of tests/golden/optim in a context, and comparisons with its files.
#pragma once

#include "attn/io/npy.hpp"
#include "attn/io/safetensors.hpp"
#include "attn/nn/context.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <optional>
#include <string>
#include <vector>

namespace attn::optim::golden {

using Ctx = nn::Context<Kokkos::DefaultExecutionSpace>;

inline std::string path(std::string const& file) { return std::string(ATTN_GOLDEN_DIR) + "/optim/" + file; }

inline std::vector<double> numbers(std::string const& file) { return io::read_npy(path(file + ".npy")).as<double>(); }
inline double number(std::string const& file) { return numbers(file).at(0); }

/// Registers the parameters of a file, in the order of their names, and gives them their values.
inline void load(Ctx& ctx, std::string const& file) {
  io::Safetensors const weights(path(file));
  nn::Builder const root = ctx;
  auto const add = [&]<int Rank>(std::string const& name, io::Shape const& shape) {
    Extents<Rank> extents{};
    for (int r = 0; r < Rank; ++r) extents[r] = static_cast<Index>(shape[r]);
    bool const position = name == "cls_token" || name == "pos_embed";  // what the module says of them
    root.add<Rank>(name, extents, nn::zeros(), {.decays = position ? std::optional(false) : std::nullopt});
  };
  for (auto const& [name, entry] : weights.tensors()) {
    std::size_t const rank = entry.shape.size();
    ASSERT_TRUE(rank >= 1 && rank <= 4) << name;
    if (rank == 1) add.operator()<1>(name, entry.shape);
    if (rank == 2) add.operator()<2>(name, entry.shape);
    if (rank == 3) add.operator()<3>(name, entry.shape);
    if (rank == 4) add.operator()<4>(name, entry.shape);
  }
  for (auto const& entry : ctx.parameters.entries()) {
    auto const values = weights.array(entry.name).as<float>();
    ctx.parameters.assign(entry, std::span<float const>(values));
  }
}

/// Gives the parameters their gradients, `factor` times those of a file.
inline void load_gradients(Ctx& ctx, std::string const& file, double factor = 1) {
  io::Safetensors const gradients(path(file));
  using Unmanaged = Kokkos::MemoryTraits<Kokkos::Unmanaged>;
  for (auto const& entry : ctx.parameters.entries()) {
    auto values = gradients.array(entry.name).as<float>();
    for (float& v : values) v *= static_cast<float>(factor);
    Kokkos::deep_copy(
        Kokkos::View<float*, Ctx::MemorySpace, Unmanaged>(ctx.parameters.gradient(entry).data(), values.size()),
        Kokkos::View<float*, Kokkos::HostSpace, Unmanaged>(values.data(), values.size()));
  }
}

/// Every number within `tolerance` of the file's, relative to the larger of it and `floor`.
template <class Numbers>
void expect_near(std::string const& file, Ctx& ctx, Numbers const& host_numbers, double tolerance, double floor) {
  io::Safetensors const expected(path(file));
  for (auto const& entry : ctx.parameters.entries()) {
    auto const want = expected.array(entry.name).as<float>();
    std::vector<float> const got = host_numbers(entry);
    ASSERT_EQ(got.size(), want.size()) << entry.name;
    for (std::size_t i = 0; i < got.size(); ++i) {
      double const scale = std::max(std::abs(double(want[i])), floor);
      EXPECT_NEAR(got[i], want[i], tolerance * scale) << file << ": " << entry.name << " [" << i << "]";
    }
  }
}

inline void expect_values(std::string const& file, Ctx& ctx) {
  expect_near(
      file, ctx, [&](nn::ParameterEntry const& e) { return ctx.parameters.host_values(e); }, 2e-6, 1e-2);
}
inline void expect_gradients(std::string const& file, Ctx& ctx) {
  expect_near(
      file, ctx, [&](nn::ParameterEntry const& e) { return ctx.parameters.host_gradients(e); }, 1e-6, 1e-12);
}

}  // namespace attn::optim::golden
