/// COCO's evaluation: the twelve published figures of a detector's boxes or masks.
#pragma once

#include "attn/detection/detail/coco_matching.hpp"

#include <array>
#include <cstdio>

namespace attn::detection {

/// What is compared.
enum class CocoRegion { box, mask };

/// COCO's figures of a detector.
struct CocoEvaluation {
  /// AP, AP50, AP75, AP of small, medium, large objects; AR with 1, 10, 100 detections an image, AR of small, medium,
  /// large objects. -1 where no object is to be found.
  std::array<double, 12> figures;
  /// The AP of each category, in the order of the annotations' list; -1 where it has no object to be found.
  std::vector<double> category_precision;
};

namespace detail {

/// The mean of numbers that are added one by one; -1 of none.
struct Mean {
  double sum = 0;
  std::size_t count = 0;

  void add(double sum_of, std::size_t n) {
    sum += sum_of;
    count += n;
  }
  double value() const { return count == 0 ? -1 : sum / double(count); }
};

inline constexpr std::array<int, 3> coco_limits = {1, 10, 100};  // detections of an image

struct CocoMeans {
  std::array<Mean, 4> precision;         // by area
  std::array<Mean, coco_thresholds> at;  // by threshold, all areas
  std::array<Mean, 4> recall;            // by area, 100 detections
  std::array<Mean, 3> limited;           // by limit of detections, all areas

  /// Adds what was matched in one category; returns its AP.
  double add(CocoMatches& matches) {
    std::stable_sort(matches.detections.begin(), matches.detections.end(),
                     [](auto const& a, auto const& b) { return a.score > b.score; });
    Mean own;
    for (std::size_t area = 0; area < coco_areas.size(); ++area) {
      if (matches.objects[area] == 0) continue;
      for (int t = 0; t < coco_thresholds; ++t) {
        double const sum = add_threshold(matches, area, t);
        precision[area].add(sum, coco_recalls.size());
        if (area != 0) continue;
        at[std::size_t(t)].add(sum, coco_recalls.size());
        own.add(sum, coco_recalls.size());
      }
    }
    return own.value();
  }

 private:
  /// The precisions at all recalls, added up. Adds recalls on the way.
  double add_threshold(CocoMatches const& matches, std::size_t area, int t) {
    double const objects = double(matches.objects[area]);
    std::array<double, 3> found{};
    double right = 0, wrong = 0;
    precisions_.clear();
    recalls_.clear();
    for (CocoMatches::Detection const& d : matches.detections) {
      bool const counts = (d.ignored[area] >> t & 1) == 0, matched = (d.matched[area] >> t & 1) != 0;
      if (counts) (matched ? right : wrong) += 1;
      for (std::size_t i = 0; i < coco_limits.size(); ++i) {
        if (counts && matched && d.rank < coco_limits[i]) found[i] += 1;
      }
      recalls_.push_back(right / objects);
      precisions_.push_back(right / (wrong + right + 2.220446049250313e-16));
    }
    recall[area].add(found[2] / objects, 1);
    for (std::size_t i = 0; area == 0 && i < coco_limits.size(); ++i) limited[i].add(found[i] / objects, 1);
    for (std::size_t i = precisions_.size(); i-- > 1;)
      precisions_[i - 1] = std::max(precisions_[i - 1], precisions_[i]);
    double sum = 0;
    std::size_t i = 0;
    for (double const wanted : coco_recalls) {
      while (i < recalls_.size() && recalls_[i] < wanted) ++i;
      if (i == recalls_.size()) break;
      sum += precisions_[i];
    }
    return sum;
  }

  std::vector<double> precisions_, recalls_;  // after each detection, the surest first
};

}  // namespace detail

/// Compares results with annotations as pycocotools does, with equal figures whatever they hold. Masks: every
/// annotation of a listed image and category has a segmentation; results without one count as their boxes. O(results x
/// (objects of their image and category + 100 recalls)).
inline CocoEvaluation evaluate_coco(CocoAnnotations const& coco, CocoResults const& results, CocoRegion region) {
  detail::CocoMatcher matcher(coco, results, region == CocoRegion::mask);
  detail::CocoMeans means;
  CocoEvaluation evaluation;
  for (std::size_t category = 0; category < coco.categories.size(); ++category) {
    detail::CocoMatches matches = matcher.match(category);
    evaluation.category_precision.push_back(means.add(matches));
  }
  auto const& [precision, at, recall, limited] = std::tie(means.precision, means.at, means.recall, means.limited);
  evaluation.figures = {precision[0].value(), at[0].value(),        at[5].value(),      precision[1].value(),
                        precision[2].value(), precision[3].value(), limited[0].value(), limited[1].value(),
                        limited[2].value(),   recall[1].value(),    recall[2].value(),  recall[3].value()};
  return evaluation;
}

/// The figures in the form in which they are usually printed, twelve lines.
inline std::string coco_table(std::array<double, 12> const& figures) {
  static constexpr char const* areas[] = {"all", "all", "all", "small", "medium", "large"};
  std::string table;
  for (int i = 0; i < 12; ++i) {
    char const* const overlap = i == 1 ? "0.50" : i == 2 ? "0.75" : "0.50:0.95";
    int const most = i == 6 ? 1 : i == 7 ? 10 : 100;
    char line[120];
    std::snprintf(line, sizeof line, " Average %-9s %s @[ IoU=%-9s | area=%6s | maxDets=%3d ] = %.3f\n",
                  i < 6 ? "Precision" : "Recall", i < 6 ? " (AP)" : " (AR)", overlap, areas[i % 6], most,
                  figures[std::size_t(i)]);
    table += line;
  }
  return table;
}

}  // namespace attn::detection
