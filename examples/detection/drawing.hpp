/// Draws what a detector found into pictures.
#pragma once

#include "attn/detection/coco.hpp"
#include "attn/io/file.hpp"

namespace train_detection {

/// The first `count` pictures of `folder` that `coco` lists, with boxes, masks, names and scores of results from
/// `score` on, as JPEG files in `out`. Those that cannot be read are left out.
void draw_some(attn::detection::CocoAnnotations const& coco, attn::detection::CocoResults const& results,
               attn::io::Path const& folder, attn::io::Path const& out, double score, std::size_t count);

}  // namespace train_detection
