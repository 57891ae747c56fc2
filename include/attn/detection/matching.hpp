/// Matching: which object each of many boxes is to learn.
#pragma once

#include "attn/core/rows.hpp"
#include "attn/core/workspace.hpp"
#include "attn/detection/corner_boxes.hpp"

namespace attn::detection {

///@{
/// What a match says besides the number of an object: that there is none, or that the box does not count.
inline constexpr std::int32_t matches_nothing = -1;
inline constexpr std::int32_t matches_ignored = -2;
///@}

/// When a box matches the object that it overlaps most. The defaults are those of region proposals.
struct MatchOptions {
  float positive = 0.7f;           ///< from this overlap on it does
  float negative = 0.3f;           ///< below this one there is nothing; between the two, the box is ignored
  bool low_quality = true;         ///< the boxes that overlap an object most match it, whatever else they overlap
  float least_low_quality = 0.3f;  ///< from this overlap on
};

namespace detail {

/// best[g] = the largest overlap of object g, over the boxes that count.
struct LargestOverlaps {
  float const* overlaps;  // (objects, boxes)
  std::uint8_t const* usable;
  float* best;
  Index boxes;
  template <class Row>
  ATTN_FUNCTION void operator()(Row const& row, Index g) const {
    using Value = typename Row::Value;
    float const largest = row.maxima(boxes, [&](auto lanes, Index i) -> Value {
      Value const overlap = lanes.load(overlaps + g * boxes + i);
      if (usable == nullptr) return overlap;
      return overlap * lanes.generate([&](int lane) { return usable[i + lane] != 0 ? 1.0f : 0.0f; });
    });
    row.once([&] { best[g] = largest; });
  }
};

struct MatchBox {
  MatchOptions options;
  float const* overlaps;
  std::uint8_t const* usable;
  float const* best;  // of each object
  Index boxes, objects;
  std::int32_t* matches;
  ATTN_FUNCTION void operator()(Index i) const {
    std::int32_t match = matches_ignored;
    if (usable == nullptr || usable[i] != 0) {
      float largest = 0;
      Index which = -1, low = -1;
      for (Index g = 0; g < objects; ++g) {
        float const overlap = overlaps[g * boxes + i];
        if (which < 0 || overlap > largest) {
          largest = overlap;
          which = g;
        }
        if (options.low_quality && best[g] >= options.least_low_quality && overlap == best[g]) low = g;
      }
      if (which < 0 || largest < options.negative) match = matches_nothing;
      if (which >= 0 && largest >= options.positive) match = std::int32_t(which);
      if (low >= 0) match = std::int32_t(low);
    }
    matches[i] = match;
  }
};

}  // namespace detail

/// overlaps (objects, N) -> matches (N): the number of an object, `matches_nothing` or `matches_ignored`. As
/// mmdetection's MaxIoUAssigner: of objects that a box overlaps equally, it matches the first; with `low_quality` *all*
/// boxes that overlap an object most match it, and where a box does so for several objects, the last. Boxes whose
/// `usable` (N) is 0 are ignored and are no object's best; without data, all are usable. O(objects N).
template <ExecutionSpace Exec, class Memory>
void match_boxes(Exec const& exec, Workspace<Memory>& workspace, Tensor<float const, 2, Memory> overlaps,
                 std::type_identity_t<BoxNumbers<Memory>> matches, MatchOptions const& options = {},
                 std::type_identity_t<Tensor<std::uint8_t const, 1, Memory>> usable = {}) {
  Index const objects = overlaps.extent(0), boxes = overlaps.extent(1);
  ATTN_CHECK(overlaps.is_contiguous() && matches.extent(0) == boxes && matches.is_contiguous(),
             "match_boxes: give contiguous overlaps (objects, ", matches.extent(0), "), got (", objects, ", ", boxes,
             ")");
  ATTN_CHECK(usable.data() == nullptr || usable.extent(0) == boxes, "match_boxes: say of each of ", boxes,
             " boxes whether it is usable, got ", usable.extent(0));
  ATTN_CHECK(options.negative <= options.positive,
             "match_boxes: choose a negative overlap of at most the positive one, got ", options.negative, " and ",
             options.positive);
  typename Workspace<Memory>::Scope const scope(workspace);
  auto const best = workspace.template tensor<float>(objects);
  for_rows<float>(exec, "attn::match_boxes::best", objects, boxes,
                  detail::LargestOverlaps{overlaps.data(), usable.data(), best.data(), boxes});
  detail::for_each(
      exec, "attn::match_boxes", boxes,
      detail::MatchBox{options, overlaps.data(), usable.data(), best.data(), boxes, objects, matches.data()});
}

}  // namespace attn::detection
