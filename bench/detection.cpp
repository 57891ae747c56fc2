// RoIAlign of a pyramid and non-maximum suppression, at the sizes of a Mask R-CNN.
//
//   detection [--peer=PYTHON] [--rounds=7] [--turn=0.3] [Google Benchmark's flags]
//
// Cases: region_align/<pass>/<batch>/<map's height and width>/<channels>/<regions>/<bins>, on one map of stride 4;
// passes forward and step, which also computes the gradient of the map. nms/<boxes>/<groups>: of random boxes, of which
// those of different groups are left alone. The peer are torchvision's operators.
#include "attn/detection/nms.hpp"
#include "attn/detection/region_align.hpp"

#include "peak.hpp"
#include "peers.hpp"

namespace {

using attn::Index;
using bench::Exec;
using Context = attn::nn::Context<Exec>;
namespace detection = attn::detection;

/// Numbers from 0 to 1 that the peer draws, too: a counter's bits.
float number(std::uint32_t i) {
  std::uint32_t x = i * 2654435761u;
  x ^= x >> 16;
  x *= 2246822519u;
  x ^= x >> 13;
  return float(x >> 8) * 0x1p-24f;
}

/// Corners of boxes with sides of 8 to `most` pixels, with their middles in a picture of `side` pixels.
std::vector<float> boxes_of(Index count, float side, float most) {
  std::vector<float> boxes;
  for (std::uint32_t i = 0; i < std::uint32_t(count); ++i) {
    float const x = side * number(4 * i), y = side * number(4 * i + 1);
    float const w = 8 + (most - 8) * number(4 * i + 2), h = 8 + (most - 8) * number(4 * i + 3);
    boxes.insert(boxes.end(), {x - w / 2, y - h / 2, x + w / 2, y + h / 2});
  }
  return boxes;
}

struct Align {
  Index batch, size, channels, regions, bins;
  std::string sizes() const {
    std::string text;
    for (Index const n : {batch, size, channels, regions, bins}) text += "/" + std::to_string(n);
    return text;
  }
};
std::vector<Align> const aligns = {{2, 200, 256, 1024, 7}, {2, 200, 256, 256, 14}, {2, 32, 64, 256, 7}};

struct Nms {
  Index boxes, groups;
  std::string sizes() const {
    std::string text;
    for (Index const n : {boxes, groups}) text += "/" + std::to_string(n);
    return text;
  }
};
std::vector<Nms> const suppressions = {{1000, 1}, {8000, 5}, {4000, 80}};

template <class T>
Kokkos::View<T*, Exec> copied(std::vector<T> const& numbers) {
  Kokkos::View<T*, Exec> const view("numbers", numbers.size());
  Kokkos::deep_copy(view, Kokkos::View<T const*, Kokkos::HostSpace>(numbers.data(), numbers.size()));
  return view;
}

void region_align(benchmark::State& state, std::string const& name, Align const& c, bool step, bench::Peers& peers) {
  Context ctx(1);
  using Maps = Kokkos::View<float****, Kokkos::LayoutRight, Exec>;
  Maps const x("x", c.batch, c.size, c.size, c.channels), d_y("d_y", c.regions, c.bins, c.bins, c.channels);
  bench::fill_at_random(ctx.exec, x, 1);
  bench::fill_at_random(ctx.exec, d_y, 2);
  auto const boxes = copied(boxes_of(c.regions, 4 * float(c.size), 2 * float(c.size)));
  std::vector<std::int32_t> numbers;
  for (Index r = 0; r < c.regions; ++r) numbers.push_back(std::int32_t(r % c.batch));
  auto const images = copied(numbers);
  detection::RegionAlign const align({.size = c.bins, .strides = {4}});
  detection::RegionsOnMaps<float, Exec::memory_space> in;
  in.maps = {attn::Tensor<float, 4>(x)};
  in.boxes = {boxes.data(), {c.regions, 4}};
  in.images = {images.data(), {c.regions}};
  auto const call = [&] {
    ctx.begin_step();
    auto [y, tape] = align.forward(ctx, in);
    if (step) align.backward(ctx, std::move(tape), attn::Tensor<float, 4>(d_y));
    ctx.exec.fence();
  };
  call();
  for (auto _ : state) call();
  peers.compare(name, bench::by_clock(call));
}

void nms(benchmark::State& state, std::string const& name, Nms const& c, bench::Peers& peers) {
  Context ctx(1);
  auto const boxes = copied(boxes_of(c.boxes, 800, 300));
  std::vector<float> numbers;
  std::vector<std::int32_t> groups;
  for (std::uint32_t i = 0; i < std::uint32_t(c.boxes); ++i) {
    numbers.push_back(number(i + 1000000));
    groups.push_back(std::int32_t(number(i + 2000000) * float(c.groups)));
  }
  auto const scores = copied(numbers);
  auto const group_of = copied(groups);
  Kokkos::View<std::int32_t*, Exec> const kept("kept", std::size_t(c.boxes)), count("count", 1);
  using Memory = Exec::memory_space;
  detection::NmsInput<Memory> const in{
      {boxes.data(), {1, c.boxes, 4}}, {scores.data(), {1, c.boxes}}, {group_of.data(), {1, c.boxes}}};
  auto const call = [&] {
    detection::nms(ctx.exec, ctx.workspace, in, attn::Tensor<std::int32_t, 2>(kept.data(), {1, c.boxes}),
                   attn::Tensor<std::int32_t, 1>(count.data(), {1}), {.most_overlap = 0.7f});
    ctx.exec.fence();
  };
  call();
  for (auto _ : state) call();
  std::int32_t n = 0;
  Kokkos::deep_copy(n, Kokkos::subview(count, 0));
  state.counters["kept"] = double(n);
  peers.compare(name, bench::by_clock(call));
}

}  // namespace

int main(int argc, char** argv) {
  bench::Peers peers(argc, argv, "detection.py");
  Kokkos::ScopeGuard const kokkos(argc, argv);
  benchmark::Initialize(&argc, argv);
  if (benchmark::ReportUnrecognizedArguments(argc, argv)) return 2;
  peers.use({"--threads", std::to_string(Exec().concurrency())});
  bench::describe_run(bench::fma_peak(), bench::gemm_peak<float>());
  auto const add = [](std::string const& name, auto const& run) {
    benchmark::RegisterBenchmark(name.c_str(), run)->UseRealTime()->Unit(benchmark::kMillisecond);
  };
  for (Align const& c : aligns) {
    for (bool const step : {false, true}) {
      std::string const name = std::string("region_align/") + (step ? "step" : "forward") + c.sizes();
      add(name, [=, &c, &peers](benchmark::State& state) { region_align(state, name, c, step, peers); });
    }
  }
  for (Nms const& c : suppressions) {
    std::string name = "nms";
    name += c.sizes();
    add(name, [=, &c, &peers](benchmark::State& state) { nms(state, name, c, peers); });
  }
  benchmark::RunSpecifiedBenchmarks();
  peers.print();
  return 0;
}
