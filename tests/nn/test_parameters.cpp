#include "attn/nn/parameters.hpp"

#include "support.hpp"

namespace {

using attn::Index;
using attn::nn::Builder;
using attn::nn::normal;
using attn_test::Exec;
using attn_test::Memory;
template <class T>
using Parameters = attn::nn::Parameters<T, Memory>;

TEST(Parameters, LieApartOnCacheLinesWithZerosBetweenThem) {
  Parameters<float> p;
  Builder const root = p;
  auto const a = root.add<1>("a", {3}, normal(1));
  auto const b = root.add<2>("b", {5, 7}, normal(1));
  EXPECT_EQ(b.offset % 16, 0);
  auto const values = attn::testing::detail::host_numbers(p.values());
  for (Index i = 0; i < Index(values.size()); ++i) {
    bool const inside = i < 3 || (i >= b.offset && i < b.offset + 35);
    EXPECT_EQ(values[std::size_t(i)] != 0, inside) << i;
  }
  EXPECT_EQ(p.value(a).data(), p.values().data());
  EXPECT_EQ(p.value(b).data(), p.values().data() + b.offset);
  EXPECT_EQ(p.gradient(b).data(), p.gradients().data() + b.offset);
  EXPECT_EQ(p.value(b).extent(1), 7);
}

TEST(Parameters, StartFromValuesThatDependOnSeedAndNameAlone) {
  auto const values = [](std::uint64_t seed, std::vector<std::string> const& order) {
    Parameters<float> p({.seed = seed});
    for (auto const& name : order) Builder(p).add<1>(name, {9}, normal(1));
    return p.host_values(p.entry("w"));
  };
  auto const w = values(1, {"w"});
  EXPECT_EQ(values(1, {"u", "w", "v"}), w);
  EXPECT_NE(values(2, {"w"}), w);
  Parameters<float> p({.seed = 1});
  Builder(p).add<1>("w", {9}, normal(1));
  Builder(p).add<1>("v", {9}, normal(1));
  EXPECT_NE(p.host_values(p.entry("v")), w);
}

TEST(Parameters, KeepTheirValuesWhenMoreAreRegistered) {
  Parameters<double> p({.seed = 1});
  Builder const root = p;
  root.add<1>("a", {20}, normal(1));
  std::vector<double> const mine(20, 3.0);
  p.assign(p.entry("a"), std::span<double const>(mine));
  auto const b = root.add<1>("b", {20}, normal(1));
  EXPECT_EQ(p.host_values(p.entry("a")), mine);
  EXPECT_NE(p.host_values(p.entry("b")), std::vector<double>(20, 0.0));
  EXPECT_EQ(p.gradient(b).extent(0), 20);
}

TEST(Parameters, ConvertWhatIsAssigned) {
  Parameters<float> p;
  Builder(p).add<2>("w", {2, 2}, normal(1));
  std::vector<double> const from = {1, 2, 3, 4.5};
  p.assign(p.entry("w"), std::span<double const>(from));
  EXPECT_EQ(p.host_values(p.entry("w")), (std::vector<float>{1, 2, 3, 4.5f}));
}

TEST(Parameters, ZeroTheirGradients) {
  Parameters<float> p;
  auto const w = Builder(p).add<1>("w", {40}, normal(1));
  EXPECT_EQ(p.host_gradients(p.entry("w")), std::vector<float>(40, 0.0f));
  Kokkos::deep_copy(p.gradient(w).view(), 2.0f);
  EXPECT_EQ(p.host_gradients(p.entry("w"))[39], 2.0f);
  p.zero_gradients(Exec());
  EXPECT_EQ(p.host_gradients(p.entry("w")), std::vector<float>(40, 0.0f));
}

TEST(Parameters, SayWhatIsWrong) {
  Parameters<float> p;
  Builder const root = p;
  root.add<1>("w", {3}, normal(1));
  EXPECT_NE(attn_test::error_of([&] { root.add<1>("w", {3}, normal(1)); }).find("\"w\" twice"), std::string::npos);
  EXPECT_NE(attn_test::error_of([&] {
              root.add<2>("v", {3, 0}, normal(1));
            }).find("positive extents, got 0"),
            std::string::npos);
  EXPECT_EQ(attn_test::error_of([&] { p.entry("x"); }),
            "Parameters: ask for one of the model's 1 parameters, got \"x\"");
  std::vector<float> const four(4);
  EXPECT_EQ(attn_test::error_of([&] { p.assign(p.entry("w"), std::span<float const>(four)); }),
            "Parameters::assign: give \"w\" 3 numbers, got 4");
  EXPECT_EQ(p.entries().size(), 1u);  // what failed was not registered
}

TEST(Buffers, StartFromTheirInitialValuesAndKeepThem) {
  Parameters<float> p({.seed = 1});
  Builder const root = p;
  auto const mean = root.add_buffer<1>("bn.running_mean", {5}, attn::nn::zeros());
  auto const variance = root.add_buffer<1>("bn.running_var", {5}, attn::nn::ones());
  EXPECT_EQ(variance.offset, 16);
  EXPECT_EQ(p.buffer(variance).extent(0), 5);
  EXPECT_EQ(p.buffer(variance).data(), p.buffers().data() + 16);
  EXPECT_EQ(p.host_values(p.buffer_entry("bn.running_mean")), std::vector<float>(5, 0.0f));
  EXPECT_EQ(p.host_values(p.buffer_entry("bn.running_var")), std::vector<float>(5, 1.0f));
  std::vector<double> const mine(5, 0.25);
  p.assign(p.buffer_entry("bn.running_mean"), std::span<double const>(mine));
  auto const grid = root.add_buffer<2>("grid", {2, 3}, normal(1));
  EXPECT_EQ(p.buffer(mean)(4), 0.25f);
  EXPECT_EQ(p.buffer(variance)(4), 1.0f);
  EXPECT_NE(p.buffer(grid)(1, 2), 0.0f);
  EXPECT_EQ(p.buffers().extent(0), p.buffer_extent());
}

TEST(Buffers, AreNoParameters) {
  Parameters<float> p;
  Builder const root = p;
  root.add<1>("weight", {3}, normal(1));
  root.add_buffer<1>("running_mean", {40}, normal(1));
  EXPECT_EQ(p.count(), 3);
  EXPECT_EQ(p.extent(), 16);
  EXPECT_EQ(p.buffer_extent(), 48);
  EXPECT_EQ(p.entries().size(), 1u);
  EXPECT_EQ(p.buffer_entries().size(), 1u);
  EXPECT_EQ(p.gradients().extent(0), 16);
  EXPECT_FALSE(p.contains("running_mean"));
  EXPECT_TRUE(p.contains_buffer("running_mean"));
}

TEST(Buffers, SayWhatIsWrong) {
  Parameters<float> p;
  Builder const root = p;
  root.add<1>("w", {3}, normal(1));
  root.add_buffer<1>("b", {3}, normal(1));
  for (char const* const name : {"w", "b"}) {
    std::string const twice = "\"" + std::string(name) + "\" twice";
    EXPECT_NE(attn_test::error_of([&] { root.add<1>(name, {3}, normal(1)); }).find(twice), std::string::npos);
    EXPECT_NE(attn_test::error_of([&] { root.add_buffer<1>(name, {3}, normal(1)); }).find(twice), std::string::npos);
  }
  EXPECT_EQ(attn_test::error_of([&] { p.buffer_entry("w"); }),
            "Parameters: ask for one of the model's 1 buffers, got \"w\"");
  EXPECT_EQ(p.buffer_entries().size(), 1u);
}

}  // namespace
