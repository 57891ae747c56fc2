/// The compressed string of COCO's masks: run lengths in printable characters.
#pragma once

#include "attn/detection/mask_rle.hpp"

#include <string>
#include <string_view>

namespace attn::detection {

/// Each run from the fourth on is stored less the run two before it; a number goes into groups of five bits, the lowest
/// first, a character each: 48 + bits, and 32 more where another group follows. The last group's highest bit is the
/// sign.
inline std::string to_text(MaskRle const& mask) {
  std::string text;
  for (std::size_t run = 0; run < mask.counts.size(); ++run) {
    std::int64_t rest = mask.counts[run];
    if (run > 2) rest -= mask.counts[run - 2];
    for (bool more = true; more;) {
      auto const group = int(rest & 31);
      rest >>= 5;
      more = rest != ((group & 16) != 0 ? -1 : 0);
      text += char(48 + group + (more ? 32 : 0));
    }
  }
  return text;
}

/// The mask that such a string holds, checked: what `to_text` cannot have written is an error.
inline MaskRle mask_from_text(std::string_view text, std::int64_t height, std::int64_t width) {
  check_mask_size(height, width, "mask_from_text");
  MaskRle mask{std::uint32_t(height), std::uint32_t(width)};
  for (std::size_t at = 0; at < text.size();) {
    std::int64_t number = 0;
    int bits = 0;
    for (bool more = true; more; bits += 5) {
      int const group = at < text.size() ? static_cast<unsigned char>(text[at]) - 48 : -1;
      ATTN_CHECK(
          group >= 0 && group < 64 && bits < 40,
          "mask_from_text: give characters from '0' to 'o', of which groups are numbers of at most 40 bits; after '",
          text.substr(at < 20 ? 0 : at - 20, std::min<std::size_t>(at, 20)), "' comes something else");
      ++at;
      number |= std::int64_t(group & 31) << bits;
      more = (group & 32) != 0;
      if (!more && (group & 16) != 0) number -= std::int64_t(32) << bits;
    }
    if (mask.counts.size() > 2) number += mask.counts[mask.counts.size() - 2];
    ATTN_CHECK(number >= 0 && number <= std::int64_t(most_mask_pixels), "mask_from_text: give runs from 0 to ",
               most_mask_pixels, " pixels, got ", number);
    mask.counts.push_back(std::uint32_t(number));
  }
  check(mask, "mask_from_text");
  return mask;
}

}  // namespace attn::detection
