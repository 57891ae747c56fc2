// Modules of feature maps against tests/golden/maps: parameters, y and all gradients of one batch.
#pragma once

#include "attn/nn/module.hpp"

#include "support.hpp"

namespace attn_test {

/// `make(builder)` makes the module of case `name`; its input has `Rank` dimensions, its output as many.
template <class T, class Make>
void expect_golden_maps(std::string const& name, Make const& make) {
  std::string const at = "maps/" + name + "_";
  attn::nn::Context<Exec, T> ctx;
  auto const module = make(ctx / "m");
  auto const file_of = [&](attn::nn::FlatEntry const& e) { return at + e.name.substr(2); };
  for (auto const& e : ctx.parameters.entries()) {
    auto const values = golden(file_of(e));
    ctx.parameters.assign(e, std::span<double const>(values));
  }
  auto const x = golden_array<T, 4>(at + "x"), d_y = golden_array<T, 4>(at + "d_y");
  auto [y, tape] = module.forward(ctx, x.tensor());
  auto const d_x = module.backward(ctx, std::move(tape), d_y.tensor());
  double const tolerance = sizeof(T) == 4 ? 2e-6 : 3e-7;
  using attn::testing::allclose;
  EXPECT_SOUND(allclose(y, golden(at + "y"), tolerance).about(name + " y"));
  EXPECT_EQ(y.extents(), d_y.tensor().extents()) << name;
  EXPECT_SOUND(allclose(d_x, golden(at + "d_x"), tolerance).about(name + " d_x"));
  for (auto const& e : ctx.parameters.entries()) {
    EXPECT_SOUND(allclose(ctx.parameters.host_gradients(e), golden(at + "d_" + e.name.substr(2)), tolerance)
                     .about(name + " gradient of " + e.name));
  }
}

}  // namespace attn_test
