/// Non-maximum suppression: of boxes that overlap, the one with the best score.
#pragma once

#include "attn/core/workspace.hpp"
#include "attn/detection/corner_boxes.hpp"
#include "attn/detection/detail/crew.hpp"

namespace attn::detection {

/// What is suppressed, and how many boxes are kept.
struct NmsOptions {
  float most_overlap = 0.5f;     ///< a box that overlaps a better one of its group by more is dropped
  float least_score = -3.4e38f;  ///< boxes whose score is not above this are dropped
  bool drops_empty = false;      ///< boxes without an area are dropped
};

/// Boxes of several images.
template <class Memory>
struct NmsInput {
  Tensor<float const, 3, Memory> boxes;   ///< (B, N, 4)
  Tensor<float const, 2, Memory> scores;  ///< (B, N)
  Tensor<std::int32_t const, 2, Memory> groups =
      {};  ///< (B, N), below 2^24: boxes of different groups are left alone; may lack data
};

namespace detail {

/// The candidates of an image, the best first, with coordinates side by side, for loops in vector lanes.
struct NmsList {
  float *left, *top, *right, *bottom, *area, *group, *dropped;
};

struct SuppressBoxes {
  NmsOptions options;
  float const* boxes;
  float const* scores;
  std::int32_t const* groups;
  Index count, most;         // of an image
  std::uint64_t* keys;       // (B, 2, N)
  float* columns;            // (B, 7, N)
  std::int32_t* kept;        // (B, most)
  std::int32_t* kept_count;  // (B)

  template <class Crew>
  ATTN_FUNCTION void operator()(Crew const& crew, Index image) const {
    Index const first = image * count;
    std::uint64_t* const key = keys + 2 * first;
    std::uint64_t* const sorted = key + count;
    Index const found = crew.select(
        count, [&](Index i) { return is_candidate(first + i); },
        [&](Index i, Index place) { key[place] = key_of(scores[first + i], i); });
    crew.wait();
    crew.largest(key, found, found, sorted);
    NmsList const list = list_of(image);
    crew.each(found, [&](Index i) {
      Index const at = first + place_of(sorted[i]);
      CornerBox const box = CornerBox::load(boxes + 4 * at);
      list.left[i] = box.left;
      list.top[i] = box.top;
      list.right[i] = box.right;
      list.bottom[i] = box.bottom;
      list.area[i] = box.area();
      list.group[i] = groups != nullptr ? float(groups[at]) : 0.0f;
      list.dropped[i] = 0;
    });
    crew.wait();
    Index n = 0;
    for (Index i = 0; i < found && n < most; ++i) {
      if (list.dropped[i] != 0) continue;
      std::int32_t const which = std::int32_t(place_of(sorted[i]));
      crew.each(1, [&](Index) { kept[image * most + n] = which; });
      ++n;
      drop_what_overlaps(crew, list, i, found);
      crew.wait();
    }
    crew.each(1, [&](Index) { kept_count[image] = std::int32_t(n); });
  }

 private:
  ATTN_FUNCTION bool is_candidate(Index at) const {
    if (!(scores[at] > options.least_score)) return false;
    CornerBox const box = CornerBox::load(boxes + 4 * at);
    return !options.drops_empty || (box.width() > 0 && box.height() > 0);
  }
  ATTN_FUNCTION NmsList list_of(Index image) const {
    float* const at = columns + 7 * image * count;
    return {at, at + count, at + 2 * count, at + 3 * count, at + 4 * count, at + 5 * count, at + 6 * count};
  }
  template <class Crew>
  ATTN_FUNCTION void drop_what_overlaps(Crew const& crew, NmsList const& list, Index i, Index found) const {
    Index const first = i + 1;
    crew.lanes(found - first, [=, this](auto lanes, Index n) {
      using Value = typename decltype(lanes)::Value;
      Index const j = first + n;
      Value const zero(0.0f), one(1.0f);
      Value const width = attn::min(Value(list.right[i]), lanes.load(list.right + j)) -
                          attn::max(Value(list.left[i]), lanes.load(list.left + j));
      Value const height = attn::min(Value(list.bottom[i]), lanes.load(list.bottom + j)) -
                           attn::max(Value(list.top[i]), lanes.load(list.top + j));
      Value const both = attn::larger_number(width, zero) * attn::larger_number(height, zero);
      // both / (area_i + area_j - both) > most_overlap
      Value const bound = Value(options.most_overlap) * (Value(list.area[i]) + lanes.load(list.area + j) - both);
      Value const of_group = attn::abs(lanes.load(list.group + j) - Value(list.group[i]));
      Value const drops = attn::where_greater(Value(0.5f), of_group, attn::where_greater(both, bound, one, zero), zero);
      lanes.store(list.dropped + j, attn::larger_number(lanes.load(list.dropped + j), drops));
    });
  }
};

}  // namespace detail

/// boxes (B, N, 4), scores and groups (B, N) -> kept (B, M): for each image the numbers of the boxes that are kept, the
/// best first, M at most; kept_count (B): how many. Of equal scores the first box is the better one; what stands in
/// `kept` behind its count is not touched. As torchvision's `nms`, and its `batched_nms` with groups. Asynchronous;
/// O(N log N + N kept), one thread of a host or one team of a device for each image.
template <ExecutionSpace Exec, class Memory>
void nms(Exec const& exec, Workspace<Memory>& workspace, NmsInput<Memory> const& in,
         std::type_identity_t<Tensor<std::int32_t, 2, Memory>> kept,
         std::type_identity_t<BoxNumbers<Memory>> kept_count, NmsOptions const& options = {}) {
  Index const images = in.boxes.extent(0), count = in.boxes.extent(1);
  ATTN_CHECK(in.boxes.extent(2) == 4 && in.scores.extents() == (Extents<2>{images, count}) &&
                 (in.groups.data() == nullptr || in.groups.extents() == in.scores.extents()),
             "nms: give boxes (B, N, 4) with scores and groups (B, N), got ", images, " x ", count, " boxes and ",
             in.scores.extent(0), " x ", in.scores.extent(1), " scores");
  ATTN_CHECK(in.boxes.is_contiguous() && in.scores.is_contiguous() &&
                 (in.groups.data() == nullptr || in.groups.is_contiguous()) && kept.is_contiguous(),
             "nms: give contiguous tensors");
  ATTN_CHECK(kept.extent(0) == images && kept_count.extent(0) == images, "nms: give room for the boxes and counts of ",
             images, " images, got ", kept.extent(0), " and ", kept_count.extent(0));
  ATTN_CHECK(count < Index(1) << 32, "nms: give at most ", Index(1) << 32, " boxes, got ", count);
  typename Workspace<Memory>::Scope const scope(workspace);
  auto const keys = workspace.template tensor<std::uint64_t>(images, 2, count);
  auto const columns = workspace.template tensor<float>(images, 7, count);
  detail::for_crews(exec, "attn::nms", images,
                    detail::SuppressBoxes{options, in.boxes.data(), in.scores.data(), in.groups.data(), count,
                                          kept.extent(1), keys.data(), columns.data(), kept.data(), kept_count.data()});
}

}  // namespace attn::detection
