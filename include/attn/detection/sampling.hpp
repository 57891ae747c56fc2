/// Sampling: which of many matched boxes a detector learns from in a step.
#pragma once

#include "attn/core/random.hpp"
#include "attn/core/workspace.hpp"
#include "attn/detection/detail/crew.hpp"
#include "attn/detection/matching.hpp"

namespace attn::detection {

/// How many boxes are taken. The defaults are those of region proposals.
struct SampleOptions {
  Index count = 256;
  float most_positive = 0.5f;  ///< at most this share matches an object; the others match nothing
};

namespace detail {

/// The boxes with the largest random numbers, first among those that match, then among those that do not.
struct SampleBoxes {
  std::int32_t const* matches;
  Index boxes, most, most_positive;
  RandomKey key;
  std::uint64_t* keys;    // (boxes)
  std::uint64_t* sorted;  // (most)
  std::int32_t* chosen;   // (most)
  std::int32_t* counts;   // (2)
  template <class Crew>
  ATTN_FUNCTION void operator()(Crew const& crew, Index) const {
    Index taken = 0;
    for (int part = 0; part < 2; ++part) {
      bool const positive = part == 0;
      Index const found = crew.select(
          boxes, [&](Index i) { return positive ? matches[i] >= 0 : matches[i] == matches_nothing; },
          [&](Index i, Index place) {
            keys[place] = std::uint64_t(random_bits(key, std::uint64_t(i))) << 32 | (0xffffffffu - std::uint32_t(i));
          });
      Index const room = positive ? most_positive : most - taken, count = found < room ? found : room;
      crew.wait();
      crew.largest(keys, found, count, sorted);
      crew.wait();
      Index const before = taken;
      crew.each(count, [&](Index i) {
        chosen[before + i] = std::int32_t(place_of(sorted[i]));
        if (i == 0) counts[part] = std::int32_t(count);
      });
      if (count == 0) crew.each(1, [&](Index) { counts[part] = 0; });
      crew.wait();
      taken += count;
    }
  }
};

}  // namespace detail

/// matches (N) -> chosen (at least options.count): the numbers of boxes, first of those that match an object, then of
/// those that match nothing; counts (2): how many of each. Where there are more than are wanted, (key, number of the
/// box) decides: the same boxes on any machine and for any number of threads. O(N).
template <ExecutionSpace Exec, class Memory>
void sample_matches(Exec const& exec, Workspace<Memory>& workspace, ConstBoxNumbers<Memory> matches, RandomKey key,
                    std::type_identity_t<BoxNumbers<Memory>> chosen, std::type_identity_t<BoxNumbers<Memory>> counts,
                    SampleOptions const& options = {}) {
  ATTN_CHECK(options.count >= 0 && options.most_positive >= 0 && options.most_positive <= 1,
             "sample_matches: choose a count and a share from 0 to 1, got ", options.count, " and ",
             options.most_positive);
  Index const most = std::min(options.count, matches.extent(0));
  ATTN_CHECK(chosen.extent(0) >= most && counts.extent(0) == 2, "sample_matches: give room for ", most,
             " boxes and two counts, got ", chosen.extent(0), " and ", counts.extent(0));
  typename Workspace<Memory>::Scope const scope(workspace);
  auto const keys = workspace.template tensor<std::uint64_t>(matches.extent(0));
  auto const sorted = workspace.template tensor<std::uint64_t>(most);
  Index const most_positive = std::min(most, Index(double(options.count) * double(options.most_positive)));
  detail::for_crews(exec, "attn::sample_matches", 1,
                    detail::SampleBoxes{matches.data(), matches.extent(0), most, most_positive, key, keys.data(),
                                        sorted.data(), chosen.data(), counts.data()});
}

}  // namespace attn::detection
