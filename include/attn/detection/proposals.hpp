/// Proposals: the boxes that a network of region proposals thinks most likely to hold something.
#pragma once

#include "attn/detection/anchor_grid.hpp"
#include "attn/detection/box_coder.hpp"
#include "attn/detection/nms.hpp"

#include <concepts>

namespace attn::detection {

/// What a network of region proposals says of each anchor of each image.
template <class T, class Memory>
struct AnchorScores {
  Tensor<T, 2, Memory> logits;  ///< (B, N): that of an object
  Tensor<T, 3, Memory> codes;   ///< (B, N, 4): of its box, by a `BoxCoder` from the anchor
  static constexpr auto tensors = std::tuple(&AnchorScores::logits, &AnchorScores::codes);

  template <std::same_as<T const> U>
  requires(!std::is_const_v<T>) operator AnchorScores<U, Memory>() const { return {logits, codes}; }
};

/// Proposals of several images, the best first.
template <class Memory>
struct Proposals {
  Tensor<float, 3, Memory> boxes;  ///< (B, M, 4)
  BoxNumbers<Memory> counts;       ///< (B): how many of M there are
};

/// How many proposals there are to be. The defaults are those of training.
struct ProposalOptions {
  Index of_map = 2000;        ///< of each map, before any are suppressed
  Index count = 1000;         ///< of an image
  float most_overlap = 0.7f;  ///< of two from one map
  BoxCoder coder = {};
};

namespace detail {

/// The anchors of one map.
struct AnchorRange {
  Index first = 0, count = 0;  // of all anchors
  Index place = 0, taken = 0;  // of all candidates
};

/// The likeliest anchors of one map of one image, decoded.
template <class T>
struct TakeLikeliest {
  Kokkos::Array<AnchorRange, 8> ranges;
  Index maps, anchors, candidates;
  T const* logits;
  T const* codes;
  float const* anchor_boxes;
  float const* sizes;  // (B, 2): height, width
  BoxCoder coder;
  std::uint64_t* keys;    // (B, anchors)
  std::uint64_t* sorted;  // (B, candidates)
  float* boxes;           // (B, candidates, 4)
  float* scores;
  std::int32_t* groups;

  template <class Crew>
  ATTN_FUNCTION void operator()(Crew const& crew, Index i) const {
    Index const image = i / maps, map = i % maps;
    AnchorRange const range = ranges[std::size_t(map)];
    Index const from = image * anchors + range.first, to = image * candidates + range.place;
    crew.each(range.count, [&](Index a) { keys[from + a] = key_of(float(logits[from + a]), a); });
    crew.wait();
    crew.largest(keys + from, range.count, range.taken, sorted + to);
    crew.each(range.taken, [&](Index c) {
      Index const a = place_of(sorted[to + c]);
      CornerBox const anchor = CornerBox::load(anchor_boxes + 4 * (range.first + a));
      clipped(coder.decode(anchor, codes + 4 * (from + a)), sizes[2 * image], sizes[2 * image + 1])
          .store(boxes + 4 * (to + c));
      scores[to + c] = float(logits[from + a]);
      groups[to + c] = std::int32_t(map);
    });
  }
};

struct TakeKept {
  float const* boxes;        // (B, candidates, 4)
  std::int32_t const* kept;  // (B, M)
  std::int32_t const* counts;
  Index candidates, most;
  float* out;
  ATTN_FUNCTION void operator()(Index i) const {
    Index const image = i / most;
    bool const is_there = i % most < counts[image];
    for (Index k = 0; k < 4; ++k) {
      out[4 * i + k] = is_there ? boxes[4 * (image * candidates + kept[i]) + k] : 0.0f;
    }
  }
};

}  // namespace detail

/// The likeliest anchors of each map, decoded and clipped to their image; those that overlap a likelier one of the same
/// map are dropped, and so are those without an area. Asynchronous.
template <class Ctx>
Proposals<typename Ctx::MemorySpace> propose(
    Ctx& ctx, AnchorScores<typename Ctx::Scalar const, typename Ctx::MemorySpace> const& scores,
    AnchorGrid<typename Ctx::MemorySpace> const& grid, ProposalOptions const& options = {}) {
  using T = typename Ctx::Scalar;
  using Memory = typename Ctx::MemorySpace;
  auto const& maps = grid.maps;
  Index const images = grid.sizes.extent(0), n = grid.anchors.extent(0);
  ATTN_CHECK(maps.size() <= 8 && !maps.empty(), "propose: give 1 to 8 maps, got ", maps.size());
  ATTN_CHECK(scores.logits.extents() == (Extents<2>{images, n}) && scores.codes.extents() == (Extents<3>{images, n, 4}),
             "propose: give logits (", images, ", ", n, ") and codes (", images, ", ", n, ", 4), got (",
             scores.logits.extent(0), ", ", scores.logits.extent(1), ") and (", scores.codes.extent(0), ", ",
             scores.codes.extent(1), ", ", scores.codes.extent(2), ")");
  Proposals<Memory> const result{ctx.template tensor<float>(images, options.count, 4),
                                 ctx.template tensor<std::int32_t>(images)};
  typename Workspace<Memory>::Scope const scope(ctx.workspace);
  detail::TakeLikeliest<T> take{};
  for (std::size_t l = 0; l < maps.size(); ++l) {
    Index const count = maps[l].size.area() * grid.shapes.count();
    take.ranges[l] = {take.anchors, count, take.candidates, std::min(count, options.of_map)};
    take.anchors += count;
    take.candidates += take.ranges[l].taken;
  }
  Index const candidates = take.candidates;
  auto const boxes = ctx.template tensor<float>(images, candidates, 4);
  auto const likelihoods = ctx.template tensor<float>(images, candidates);
  auto const groups = ctx.template tensor<std::int32_t>(images, candidates);
  take.maps = Index(maps.size());
  take.logits = scores.logits.data();
  take.codes = scores.codes.data();
  take.anchor_boxes = grid.anchors.data();
  take.sizes = grid.sizes.data();
  take.coder = options.coder;
  take.keys = ctx.template tensor<std::uint64_t>(images, n).data();
  take.sorted = ctx.template tensor<std::uint64_t>(images, candidates).data();
  take.boxes = boxes.data();
  take.scores = likelihoods.data();
  take.groups = groups.data();
  detail::for_crews(ctx.exec, "attn::propose", images * take.maps, take);
  auto const kept = ctx.template tensor<std::int32_t>(images, options.count);
  nms(ctx.exec, ctx.workspace, NmsInput<Memory>{boxes, likelihoods, groups}, kept, result.counts,
      {.most_overlap = options.most_overlap, .drops_empty = true});
  detail::for_each(ctx.exec, "attn::propose::kept", images * options.count,
                   detail::TakeKept{boxes.data(), kept.data(), result.counts.data(), candidates, options.count,
                                    result.boxes.data()});
  return result;
}

/// The proposals of each image, without the room behind them. Waits.
template <class Memory>
std::vector<ConstBoxes<Memory>> boxes_of(Proposals<Memory> const& proposals) {
  std::vector<ConstBoxes<Memory>> of_image;
  for (auto const count : host_copy(proposals.counts)) {
    float const* const at = proposals.boxes.data() + Index(of_image.size()) * proposals.boxes.stride(0);
    of_image.push_back({at, {Index(count), 4}});
  }
  return of_image;
}

}  // namespace attn::detection
