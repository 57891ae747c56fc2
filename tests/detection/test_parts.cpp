// The parts of a detector against golden data of torchvision's operators, one thread against all, and bad input.
#include "attn/detection/detections.hpp"
#include "attn/detection/mask_pasting.hpp"
#include "attn/detection/region_align.hpp"
#include "attn/detection/region_losses.hpp"
#include "attn/detection/region_sampling.hpp"
#include "attn/testing/check_module.hpp"

#include <set>

#include "support.hpp"

namespace {

using namespace attn;
using namespace attn::detection;
using attn::testing::allclose;
using attn::testing::same_bits;
using attn_test::Exec;
using attn_test::golden;
using attn_test::golden_array;
using attn_test::Memory;
using Numbers = std::vector<double>;
using Ints = std::vector<std::int32_t>;

template <class T>
using Ctx = nn::Context<Exec, T>;

std::string at(std::string const& name) { return "detection/" + name; }
Numbers numbers(auto const& tensor) { return attn::testing::detail::host_numbers(tensor); }
template <class T, int Rank>
std::vector<std::remove_const_t<T>> values(Tensor<T, Rank, Memory> const& tensor) {
  return host_copy<Memory>(tensor.data(), tensor.size());
}
Ints golden_ints(std::string const& name) { return values(golden_array<std::int32_t, 1>(at(name)).tensor()); }

TEST(PairwiseIou, AgreesWithTorchvision) {
  auto const a = golden_array<float, 2>(at("iou_a")), b = golden_array<float, 2>(at("iou_b"));
  attn_test::Array<float, 2> const overlaps({9, 5});
  pairwise_iou(Exec(), ConstBoxes<Memory>(a), b, overlaps);
  EXPECT_SOUND(allclose(overlaps.tensor(), golden(at("iou")), 1e-6));
}

TEST(Anchors, AreThoseOfMmdetection) {
  std::vector<PyramidMap> const maps = {{{3, 4}, 4}, {{2, 1}, 8}};
  AnchorShapes const shapes{.scales = {8, 3}};
  ASSERT_EQ(anchor_count(maps, shapes), 84);
  attn_test::Array<float, 2> const boxes({84, 4});
  make_anchors(Exec(), maps, shapes, boxes.tensor());
  EXPECT_SOUND(allclose(boxes.tensor(), golden(at("anchors")), 1e-6));
}

TEST(Anchors, CountWhereTheirPixelIsOnTheImage) {
  std::vector<PyramidMap> const maps = {{{2, 3}, 4}, {{1, 2}, 8}};
  attn_test::Array<std::uint8_t, 1> const usable({8});
  mark_usable_anchors(Exec(), maps, {.ratios = {1}}, {4, 9}, usable.tensor());
  EXPECT_EQ(values(usable.tensor()), (std::vector<std::uint8_t>{1, 1, 1, 0, 0, 0, 1, 1}));
}

TEST(BoxCoder, AgreesWithTorchvision) {
  auto const a = golden_array<float, 2>(at("iou_a")), b = golden_array<float, 2>(at("iou_b"));
  BoxCoder const coder{.deviations = {0.1f, 0.1f, 0.2f, 0.2f}};
  auto const from = a.tensor().slice(0, 0, 5);
  attn_test::Array<double, 2> const codes({5, 4});
  encode_boxes(Exec(), coder, from, b, codes.tensor());
  EXPECT_SOUND(allclose(codes.tensor(), golden(at("coder_codes")), 3e-6));
  auto const deltas = golden_array<float, 2>(at("coder_deltas"));
  attn_test::Array<float, 2> const boxes({15, 4});
  decode_boxes(Exec(), coder, from, deltas.tensor(), boxes);
  EXPECT_SOUND(allclose(boxes.tensor(), golden(at("coder_decoded")), 3e-6));
  decode_boxes(Exec(), coder, from, deltas.tensor(), boxes, {50, 70});
  EXPECT_SOUND(allclose(boxes.tensor(), golden(at("coder_clipped")), 3e-6));
}

TEST(BoxCoder, BoundsGrowth) {
  attn_test::Array<float, 2> const from({1, 4}, {0, 0, 2, 4}), codes({1, 4}, {0, 0, 99, -99}), boxes({1, 4});
  decode_boxes(Exec(), BoxCoder{}, from, codes.tensor(), boxes);
  EXPECT_SOUND(allclose(boxes.tensor(), Numbers{1 - 62.5, 2 - 0.032, 1 + 62.5, 2 + 0.032}, 1e-5));
}

TEST(Matching, IsThatOfMmdetection) {
  auto const overlaps = golden_array<float, 2>(at("match_overlaps"));
  auto const usable = golden_array<std::uint8_t, 1>(at("match_usable"));
  Workspace<Memory> workspace;
  attn_test::Array<std::int32_t, 1> const matches({80});
  auto const run = [&](MatchOptions const& options, Tensor<std::uint8_t const, 1, Memory> which = {}) {
    match_boxes(Exec(), workspace, Tensor<float const, 2, Memory>(overlaps), matches, options, which);
    return values(matches.tensor());
  };
  EXPECT_EQ(run({}), golden_ints("match_anchors"));
  EXPECT_EQ(run({}, usable), golden_ints("match_usable_anchors"));
  EXPECT_EQ(run({.positive = 0.5f, .negative = 0.5f, .least_low_quality = 0.5f}), golden_ints("match_boxes"));
  EXPECT_EQ(run({.positive = 0.625f, .negative = 0.5f, .low_quality = false}), golden_ints("match_plain"));
  match_boxes(Exec(), workspace, Tensor<float const, 2, Memory>(nullptr, {0, 80}), matches);
  EXPECT_EQ(values(matches.tensor()), Ints(80, matches_nothing));
}

TEST(Sampling, TakesWhatTheSeedSaysAndNoMore) {
  constexpr Index n = 1000;
  Ints matches(n);
  for (Index i = 0; i < n; ++i) matches[std::size_t(i)] = i % 7 == 0 ? 3 : i % 11 == 0 ? matches_ignored : -1;
  attn_test::Array<std::int32_t, 1> const all({n}, {matches.begin(), matches.end()}), chosen({64}), counts({2});
  Workspace<Memory> workspace;
  auto const run = [&](std::uint64_t seed, SampleOptions const& options, Exec const& exec = Exec()) {
    sample_matches(exec, workspace, ConstBoxNumbers<Memory>(all), {.seed = seed}, chosen, counts, options);
    return values(chosen.tensor());
  };
  auto const first = run(1, {.count = 64, .most_positive = 0.25f});
  EXPECT_EQ(values(counts.tensor()), (Ints{16, 48}));
  for (std::size_t i = 0; i < 64; ++i) EXPECT_EQ(matches[std::size_t(first[i])], i < 16 ? 3 : -1);
  EXPECT_EQ(std::set<std::int32_t>(first.begin(), first.end()).size(), 64u);
  EXPECT_EQ(run(1, {.count = 64, .most_positive = 0.25f}, attn_test::one_thread()), first);
  EXPECT_NE(run(2, {.count = 64, .most_positive = 0.25f}), first);
  attn_test::Array<std::int32_t, 1> const everything({n});
  sample_matches(Exec(), workspace, ConstBoxNumbers<Memory>(all), {}, everything, counts,
                 {.count = 4 * n, .most_positive = 0.5f});
  EXPECT_EQ(values(counts.tensor()), (Ints{143, 779}));  // all that are not ignored
}

TEST(Nms, KeepsWhatTorchvisionKeeps) {
  auto const boxes = golden_array<float, 3>(at("nms_boxes"));
  auto const scores = golden_array<float, 2>(at("nms_scores"));
  auto const groups = golden_array<std::int32_t, 2>(at("nms_groups"));
  Workspace<Memory> workspace;
  attn_test::Array<std::int32_t, 2> const kept({2, 400});
  attn_test::Array<std::int32_t, 1> const counts({2});
  auto const run = [&](bool grouped, NmsOptions const& options, Index image, Index most = 400) {
    NmsInput<Memory> in{boxes.tensor(), scores.tensor()};
    if (grouped) in.groups = groups.tensor();
    nms(Exec(), workspace, in, Tensor<std::int32_t, 2, Memory>(kept.tensor().data(), {2, most}), counts, options);
    Index const count = values(counts.tensor())[std::size_t(image)];
    return values(Tensor<std::int32_t, 1, Memory>(kept.tensor().data() + image * most, {count}));
  };
  for (Index image : {0, 1}) {
    auto const all = golden_ints("nms_kept_" + std::to_string(image));
    EXPECT_EQ(run(false, {.most_overlap = 0.45f}, image), all);
    EXPECT_EQ(run(true, {.most_overlap = 0.6f}, image), golden_ints("nms_kept_of_groups_" + std::to_string(image)));
    EXPECT_EQ(run(false, {.most_overlap = 0.45f}, image, 5), Ints(all.begin(), all.begin() + 5));
  }
  EXPECT_TRUE(run(false, {.least_score = 2}, 0).empty());
}

TEST(Nms, DropsBoxesWithoutAnAreaAndScoresOfNoValue) {
  attn_test::Array<float, 3> const boxes({1, 4, 4}, {0, 0, 5, 5, 3, 3, 3, 9, 20, 20, 30, 30, 40, 40, 50, 50});
  attn_test::Array<float, 2> const scores({1, 4}, {0.1, 0.9, std::nan(""), 0.5});
  attn_test::Array<std::int32_t, 2> const kept({1, 4});
  attn_test::Array<std::int32_t, 1> const counts({1});
  Workspace<Memory> workspace;
  nms(Exec(), workspace, NmsInput<Memory>{boxes.tensor(), scores.tensor()}, kept, counts, {.drops_empty = true});
  EXPECT_EQ(values(counts.tensor()), Ints{2});
  EXPECT_EQ(values(kept.tensor().slice(1, 0, 2)), (Ints{3, 0}));
}

/// What a device's team does: the same as a thread of a host.
struct SortAsTeam {
  std::uint64_t* keys;
  std::uint64_t* sorted;
  Index n, k;
  template <class Crew>
  void operator()(Crew const& crew, Index) const {
    crew.largest(keys, n, k, sorted);
  }
};

TEST(Crew, SortsAsATeamWhatOneThreadSorts) {
  using HostMemory = Kokkos::HostSpace;
  using Host = Kokkos::DefaultHostExecutionSpace;
  for (Index const k : {0, 1, 30, 97}) {
    std::vector<std::uint64_t> keys(97), sorted(97), expected(97);
    for (std::size_t i = 0; i < 97; ++i) {
      keys[i] = attn::detection::detail::key_of(float(i * 37 % 17) - 8.0f, Index(i));
    }
    auto copy = keys;
    attn::detection::detail::HostCrew().largest(copy.data(), 97, k, expected.data());
    using Kernel = attn::detection::detail::CrewOfTeam<Host, SortAsTeam>;
    Kokkos::parallel_for(Kokkos::TeamPolicy<Host>(1, 1), Kernel{{keys.data(), sorted.data(), 97, k}});
    Kokkos::fence();
    EXPECT_EQ(sorted, expected) << k;
  }
  EXPECT_TRUE((std::same_as<HostMemory, Host::memory_space>));
}

RegionsOnMaps<float, Memory> on_maps(auto const& maps, auto const& boxes, auto const& images) {
  RegionsOnMaps<float, Memory> in;
  for (auto const& map : maps) in.maps.push_back(map.tensor());
  in.boxes = boxes.tensor();
  in.images = images.tensor();
  return in;
}

TEST(RegionAlign, AgreesWithTorchvisionForwardAndBackward) {
  auto const boxes = golden_array<float, 2>(at("align_boxes"));
  auto const images = golden_array<std::int32_t, 1>(at("align_images"));
  std::vector<attn_test::Array<float, 4>> maps;
  for (char const* const name : {"align_maps_0", "align_maps_1"}) maps.push_back(golden_array<float, 4>(at(name)));
  for (Index const size : {3, 7}) {  // of two maps, of one
    std::string const name = at("align_" + std::to_string(size) + "_");
    std::vector<Index> const strides = size == 3 ? std::vector<Index>{4, 8} : std::vector<Index>{4};
    auto in = on_maps(maps, boxes, images);
    in.maps.resize(strides.size());
    RegionAlign const align({.size = size, .strides = strides, .finest = 20});
    auto const d_y = golden_array<float, 4>(name + "d_y");
    std::vector<Numbers> bits;
    for (Exec const& exec : {Exec(), attn_test::one_thread()}) {
      Ctx<float> ctx(0, exec);
      auto [y, tape] = align.forward(ctx, in);
      EXPECT_SOUND(allclose(y, golden(name + "y"), 1e-5));
      bits.push_back(numbers(y));
      auto const d_maps = align.backward(ctx, std::move(tape), d_y.tensor());
      for (std::size_t i = 0; i < strides.size(); ++i) {
        EXPECT_SOUND(allclose(d_maps[i], golden(name + "d_maps_" + std::to_string(i)), 1e-5));
        for (double const d : numbers(d_maps[i])) bits.back().push_back(d);
      }
    }
    EXPECT_SOUND(same_bits(bits[0], bits[1]));
  }
}

/// In bf16 a sum of ones would end at 256.
TEST(RegionAlign, OfNarrowMaps_SumsManyRegionsInFp32) {
  Index const regions = 600;
  std::vector<double> corners;
  for (Index r = 0; r < regions; ++r) corners.insert(corners.end(), {0, 0, 12, 12});
  attn_test::Array<float, 2> const boxes({regions, 4}, corners);
  attn_test::Array<std::int32_t, 1> const images({regions});
  RegionAlign const align({.size = 3, .strides = {4}, .finest = 20});
  auto const gradients = [&](auto& ctx) {
    using T = typename std::remove_cvref_t<decltype(ctx)>::Scalar;
    auto const map = attn_test::random_array<T, 4>({1, 3, 3, 8}, 1);
    auto [y, tape] = align.forward(ctx, RegionsOnMaps<T, Memory>{{map.tensor()}, boxes, images});
    auto all = numbers(y);
    attn_test::Array<T, 4> const d_y(y.extents(), std::vector<double>(std::size_t(y.size()), 1.0));
    for (double const d : numbers(align.backward(ctx, std::move(tape), d_y.tensor())[0])) all.push_back(d);
    return all;
  };
  Ctx<float> wide;
  Ctx<BFloat16> narrow(wide);
  EXPECT_SOUND(allclose(gradients(narrow), gradients(wide), 0x1p-6));
}

TEST(RegionAlign, IsAModule) {
  Ctx<double> ctx;
  RegionsOnMaps<double, Memory> in;
  in.maps = {{nullptr, {2, 5, 6, 3}}, {nullptr, {2, 3, 3, 3}}};
  attn_test::Array<float, 2> const boxes({3, 4}, {1, 2, 9, 17, 3, 3, 22, 20, -4, -5, 30, 6});
  attn_test::Array<std::int32_t, 1> const images({3}, {1, 0, 1});
  in.boxes = boxes;
  in.images = images;
  EXPECT_SOUND(attn::testing::check_module(ctx, RegionAlign({.size = 2, .strides = {4, 8}, .finest = 8}), in));
}

TEST(Masks, ArePastedAndCroppedAsPublished) {
  auto const masks = golden_array<float, 3>(at("paste_masks"));
  auto const boxes = golden_array<float, 2>(at("paste_boxes"));
  auto const expected = golden_array<std::uint8_t, 3>(at("paste_pixels"));
  attn_test::Array<std::uint8_t, 3> const pixels(expected.tensor().extents());
  paste_masks(Exec(), Tensor<float const, 3, Memory>(masks), boxes, pixels);
  EXPECT_EQ(values(pixels.tensor()), values(expected.tensor()));
  auto const targets = golden_array<std::uint8_t, 3>(at("crop_targets"));
  attn_test::Array<float, 3> const cropped(targets.tensor().extents());
  crop_masks(Exec(), golden_array<std::uint8_t, 3>(at("crop_pictures")), golden_array<float, 2>(at("crop_boxes")),
             golden_array<std::int32_t, 1>(at("crop_numbers")), cropped.tensor());
  EXPECT_EQ(numbers(cropped.tensor()), numbers(targets.tensor()));
}

TEST(SelectedError, IsTheMeanOverWhatIsSelectedAndHasItsGradientThere) {
  Ctx<double> ctx;
  attn_test::Array<double, 2> const x({3, 4}, {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12}), targets({2, 2}, {0, 9, 0, 0});
  attn_test::Array<std::int32_t, 1> const rows({2}, {2, 0}), columns({2}, {0, 1});
  auto const loss = selected_error(ctx, nn::AbsoluteError{}, nn::ConstTensorOf<Ctx<double>, 2>(x),
                                   {.size = 2, .count = 2, .rows = rows, .columns = columns}, targets, 3.0);
  EXPECT_DOUBLE_EQ(loss.value(), 3.0 * (9 + 1 + 3 + 4) / 4);
  EXPECT_EQ(numbers(loss.gradient), (Numbers{0, 0, 0.75, 0.75, 0, 0, 0, 0, 0.75, 0.75, 0, 0}));
  auto const nothing = selected_error(ctx, nn::AbsoluteError{}, nn::ConstTensorOf<Ctx<double>, 2>(x), {.count = 2},
                                      Tensor<double const, 2, Memory>(nullptr, {0, 2}), 3.0);
  EXPECT_EQ(nothing.value(), 0.0);
  EXPECT_EQ(numbers(nothing.gradient), Numbers(12, 0.0));
}

TEST(Parts, SayWhatIsWrong) {
  attn_test::Array<float, 2> const boxes({3, 4}), short_boxes({3, 3}), overlaps({3, 2});
  attn_test::Array<std::int32_t, 1> const matches({3});
  Workspace<Memory> workspace;
  EXPECT_EQ(attn_test::error_of([&] { pairwise_iou(Exec(), ConstBoxes<Memory>(short_boxes), boxes, overlaps); }),
            "pairwise_iou: give contiguous boxes (N, 4), got (3, 3)");
  EXPECT_EQ(attn_test::error_of([&] { pairwise_iou(Exec(), ConstBoxes<Memory>(boxes), boxes, overlaps); }),
            "pairwise_iou: give a contiguous result (3, 3), got (3, 2)");
  EXPECT_EQ(attn_test::error_of([&] {
              match_boxes(Exec(), workspace, Tensor<float const, 2, Memory>(overlaps), matches, {.negative = 0.9f});
            }),
            "match_boxes: give contiguous overlaps (objects, 3), got (3, 2)");
  EXPECT_EQ(attn_test::error_of([] { RegionAlign({.strides = {}}); }),
            "RegionAlign: choose a positive size and side, and 1 to 8 strides, got 7, 56 and 0");
  EXPECT_EQ(attn_test::error_of([&] {
              Ctx<float> ctx;
              RegionAlign({.strides = {4}}).forward(ctx, RegionsOnMaps<float, Memory>{});
            }),
            "RegionAlign::forward: give 1 maps, got 0");
}

}  // namespace
