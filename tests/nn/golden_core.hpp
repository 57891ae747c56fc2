// Attention modules against tests/golden/make_cores.py: output and all gradients.
#pragma once

#include "attn/io/npy.hpp"
#include "attn/io/safetensors.hpp"
#include "attn/nn/attention.hpp"
#include "attn/testing/allclose.hpp"

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "nn/packed_batch.hpp"

namespace attn::testing {

/// `module`, whose parameters are all of `ctx`'s, on the input (extents) of a case.
template <class Ctx, class Module, std::size_t N>
void expect_golden_core(Ctx& ctx, Module const& module, std::string const& name,
                        Kokkos::Array<Index, N> const& extents) {
  constexpr int Rank = int(N);
  SCOPED_TRACE(name);
  double const tolerance = 2e-6;  // the files are in single precision
  auto const path = [&](std::string const& what) { return std::string(ATTN_GOLDEN_DIR) + "/cores/" + name + what; };
  auto const array = [&](char const* what) { return io::read_npy(path(what)).template as<double>(); };
  io::Safetensors const parameters(path("_parameters.safetensors")), gradients(path("_gradients.safetensors"));
  ASSERT_EQ(parameters.tensors().size(), ctx.parameters.entries().size());
  for (auto const& entry : ctx.parameters.entries()) {
    auto const stored = parameters.array(entry.name);
    ASSERT_EQ(std::vector<Index>(stored.shape.begin(), stored.shape.end()), entry.shape) << entry.name;
    auto const values = stored.template as<double>();
    ctx.parameters.assign(entry, std::span<double const>(values));
  }
  auto const x = on_device(array("_x.npy")), d_y = on_device(array("_d_y.npy"));
  ctx.parameters.zero_gradients(ctx.exec);
  auto [y, tape] = module.forward(ctx, nn::ConstTensorOf<Ctx, Rank>(x.data(), extents));
  EXPECT_TRUE(allclose(on_host(y), array("_y.npy"), tolerance))
      << allclose(on_host(y), array("_y.npy"), tolerance).message();
  auto const d_x =
      on_host(module.backward(ctx, std::move(tape), nn::ConstTensorOf<Ctx, Rank>(d_y.data(), y.extents())));
  EXPECT_TRUE(allclose(d_x, array("_d_x.npy"), tolerance)) << allclose(d_x, array("_d_x.npy"), tolerance).message();
  for (auto const& entry : ctx.parameters.entries()) {
    auto const verdict = allclose(ctx.parameters.host_gradients(entry),
                                  gradients.array(entry.name).template as<double>(), 10 * tolerance);
    EXPECT_TRUE(verdict) << entry.name << ": " << verdict.message();
  }
}

}  // namespace attn::testing
