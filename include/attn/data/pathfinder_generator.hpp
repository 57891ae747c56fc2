/// Draws images like those of Pathfinder-32: two dashed snakes that grow side by side, shorter ones to distract, and a
/// dot at an end of a snake and at the other end of the same one (label 1) or of its neighbour (label 0).
///
/// Parameters and procedure are those of the published generator (Linsley et al. 2018); the drawing of a dash is our
/// own, so images are of the same kind and not the same.
#pragma once

#include "attn/core/kokkos_compat.hpp"
#include "attn/data/pathfinder.hpp"

#include <array>
#include <bitset>
#include <cmath>
#include <numbers>
#include <optional>

namespace attn::data {

namespace pathfinder {

/// Lengths are in pixels.
struct Snakes {
  int contour_length = 14;  // dashes of each of the two snakes
  double dash_length = 2;
  double thickness = 0.5;
  double margin = 1;  // between dashes, and around them
  int border = 1;
  int seed_distance = 7;    // between the first dashes of the two snakes
  double continuity = 1.0;  // how much a bend is avoided
  double contrast = 1.5;    // of dashes, where dots have 1
  double marker_radius = 1.5;

  int distractor_length() const { return contour_length / 3; }
  int distractors() const { return distractor_length() > 0 ? 20 / distractor_length() : 0; }
};

namespace detail {

struct Point {
  double y = 0, x = 0;
};
inline Point step(Point from, double angle, double distance) {
  return {from.y + distance * std::sin(angle), from.x + distance * std::cos(angle)};
}
inline Point rounded_up(Point p) { return {std::ceil(p.y), std::ceil(p.x)}; }

using Canvas = std::array<float, side * side>;
using Mask = std::bitset<side * side>;

inline bool inside(Point p) { return p.y >= 0 && p.y < double(side) && p.x >= 0 && p.x < double(side); }
inline std::size_t pixel_of(Point p) { return static_cast<std::size_t>(p.y) * side + static_cast<std::size_t>(p.x); }

inline double square(double x) { return x * x; }

/// The square of the distance of a point from the dash between `a` and `b`.
inline double distance2(Point p, Point a, Point b) {
  double const dy = b.y - a.y, dx = b.x - a.x;
  double const t = std::clamp(((p.y - a.y) * dy + (p.x - a.x) * dx) / (dy * dy + dx * dx), 0.0, 1.0);
  return square(p.y - a.y - t * dy) + square(p.x - a.x - t * dx);
}

/// Calls visit(pixel, y, x) for the pixels within `reach` of both ends' bounding box.
template <class Visit>
void near(Point a, Point b, double reach, Visit const& visit) {
  auto const bound = [](double at) { return static_cast<int>(std::clamp(at, 0.0, double(side - 1))); };
  for (int y = bound(std::min(a.y, b.y) - reach); y <= bound(std::max(a.y, b.y) + reach + 1); ++y) {
    for (int x = bound(std::min(a.x, b.x) - reach); x <= bound(std::max(a.x, b.x) + reach + 1); ++x) {
      visit(static_cast<std::size_t>(y) * side + static_cast<std::size_t>(x), y, x);
    }
  }
}

/// A snake that grows dash by dash. What it occupies becomes visible to itself and others one dash late, so that a
/// dash does not collide with the one before it.
struct Snake {
  Canvas canvas{};
  Mask last;  // occupied by the last dash
  Point pivot;
  double angle = 0;
  Point origin, tip;
};

class Painter {
 public:
  Painter(Snakes const& snakes, Draws& draws) : s_(snakes), draws_(draws) {
    for (int y = 0; y < int(side); ++y) {
      for (int x = 0; x < int(side); ++x) {
        bool const edge = std::min(std::min(y, x), int(side) - 1 - std::max(y, x)) < s_.border;
        if (edge) occupied.set(static_cast<std::size_t>(y) * side + static_cast<std::size_t>(x));
      }
    }
  }

  Mask occupied;

  double random_angle() { return (static_cast<double>(draws_.integer(360)) - 180) * std::numbers::pi / 180; }

  /// Draws a first dash from `tail`. False if it leaves the image.
  bool start(Snake& snake, Point tail, double angle) {
    Point const head = rounded_up(step(tail, angle, s_.dash_length));
    snake.pivot = rounded_up(step(head, angle + std::numbers::pi, s_.dash_length + s_.margin));
    if (!inside(tail) || !inside(head) || !inside(snake.pivot)) return false;
    snake.angle = angle;
    snake.origin = snake.tip = tail;
    dash(snake, tail, angle);
    return true;
  }

  /// Adds a dash. False where the snake is trapped.
  bool extend(Snake& snake) {
    Point const pivot = rounded_up(step(snake.pivot, snake.angle, s_.dash_length + 2 * s_.margin));
    double const radius = s_.dash_length + s_.margin;
    struct Candidate {
      Point head;
      double angle, weight;
    };
    std::vector<Candidate> candidates;
    double total = 0;
    for (double turn = 0; turn < 2 * std::numbers::pi; turn += 1 / radius) {
      Point const at = step(pivot, turn, radius);
      if (!inside(at)) continue;
      Point const head{std::floor(at.y), std::floor(at.x)};
      auto const same = [&](Candidate const& c) { return c.head.y == head.y && c.head.x == head.x; };
      if (std::any_of(candidates.begin(), candidates.end(), same)) continue;
      double const angle = std::atan2(head.y - pivot.y, head.x - pivot.x);
      double const between = std::abs(std::remainder(angle - snake.angle, 2 * std::numbers::pi));
      double const bend = std::min(between * s_.continuity, std::numbers::pi / 2);
      double const weight = crowded(head) ? 0 : std::pow(std::max(std::cos(bend), 0.0), 2);
      candidates.push_back({head, angle, weight});
      total += weight;
    }
    if (total < 1e-4) return false;
    for (int trial = 0; trial <= trials; ++trial) {
      double left = draws_.uniform() * total;
      auto chosen = candidates.begin();
      while (chosen + 1 != candidates.end() && (left -= chosen->weight) >= 0) ++chosen;
      Mask const taken = outline(chosen->head, chosen->angle + std::numbers::pi);
      if ((taken & occupied).any()) continue;
      occupied |= snake.last;
      snake.pivot = pivot;
      snake.angle = chosen->angle;
      snake.tip = chosen->head;
      dash(snake, chosen->head, chosen->angle + std::numbers::pi);
      return true;
    }
    return false;
  }

  /// A free place for a first dash with this angle, at least `border` pixels inside; none if there is no such place.
  std::optional<Point> free_place(double angle, int border) {
    constexpr int n = int(side), centre = n / 2 * n + n / 2;
    Mask const shape = outline({double(n / 2), double(n / 2)}, angle);
    std::vector<Point> places;
    for (int y = border; y < n - border; ++y) {
      for (int x = border; x < n - border; ++x) {
        // Moved along the pixels in memory; what leaves a row has crossed the border, which is occupied.
        int const by = y * n + x - centre;
        Mask const moved = by < 0 ? shape >> std::size_t(-by) : shape << std::size_t(by);
        if ((moved & occupied).none()) places.push_back({double(y), double(x)});
      }
    }
    if (places.empty()) return std::nullopt;
    return places[static_cast<std::size_t>(draws_.integer(static_cast<std::int64_t>(places.size())))];
  }

  static constexpr int trials = 2;  // of a dash before its snake is given up

 private:
  /// Whether an occupied pixel lies within the margin.
  bool crowded(Point p) const {
    bool found = false;
    near(p, p, s_.margin, [&](std::size_t pixel, int y, int x) {
      found |= occupied[pixel] && square(y - p.y) + square(x - p.x) <= square(s_.margin);
    });
    return found;
  }

  /// The pixels that a dash and its margin occupy.
  Mask outline(Point tail, double angle) const {
    Point const head = step(tail, angle, s_.dash_length);
    Mask mask;
    double const reach = s_.thickness / 2 + s_.margin;
    near(tail, head, reach, [&](std::size_t pixel, int y, int x) {
      if (distance2({double(y), double(x)}, tail, head) <= square(reach)) mask.set(pixel);
    });
    return mask;
  }

  /// Paints a dash: what part of a pixel it covers, from its distance from the centre, in place of oversampling.
  void dash(Snake& snake, Point tail, double angle) {
    Point const head = step(tail, angle, s_.dash_length);
    near(tail, head, 1.5, [&](std::size_t pixel, int y, int x) {
      double const from_centre = std::sqrt(distance2({double(y), double(x)}, tail, head));
      double const coverage = std::clamp(0.5 + s_.thickness / 2 - from_centre, 0.0, std::min(1.0, s_.thickness));
      snake.canvas[pixel] = std::max(snake.canvas[pixel], static_cast<float>(s_.contrast * coverage));
    });
    snake.last = outline(tail, angle);
  }

  Snakes const& s_;
  Draws& draws_;
};

inline void merge(Canvas& into, Canvas const& from) {
  for (std::size_t p = 0; p < into.size(); ++p) into[p] = std::max(into[p], from[p]);
}

/// Two snakes that start near one another and grow in turn. False if one of them is trapped.
inline bool two_snakes(Snakes const& s, Painter& painter, Snake (&pair)[2]) {
  double const angle = painter.random_angle();
  auto const first = painter.free_place(angle, 2 * s.seed_distance);
  if (!first || !painter.start(pair[0], *first, angle)) return false;
  double const second_angle = painter.random_angle(), direction = painter.random_angle();
  Point const beside = step(*first, direction, s.seed_distance);
  if (!painter.start(pair[1], {std::round(beside.y), std::round(beside.x)}, second_angle)) return false;
  for (int i = 1; i < s.contour_length; ++i) {
    for (Snake& snake : pair) {
      if (!painter.extend(snake)) return false;
    }
  }
  painter.occupied |= pair[0].last | pair[1].last;
  return true;
}

/// Adds a short snake, if there is room for it.
inline void distract(Snakes const& s, Painter& painter, Canvas& canvas) {
  constexpr int retrials = 4;
  for (int trial = 0; trial <= retrials; ++trial) {
    Mask const before = painter.occupied;
    Snake snake;
    double const angle = painter.random_angle();
    auto const place = painter.free_place(angle, 1);
    bool grown = place && painter.start(snake, *place, angle);
    for (int i = 1; grown && i < s.distractor_length(); ++i) grown = painter.extend(snake);
    if (grown) {
      painter.occupied |= snake.last;
      merge(canvas, snake.canvas);
      return;
    }
    painter.occupied = before;
  }
}

}  // namespace detail

/// Draws one image of 32 x 32 pixels, scaled so that its brightest pixel is 255, and returns its label.
inline int draw(Snakes const& s, RandomKey key, std::array<std::uint8_t, side * side>& pixels) {
  using namespace detail;
  Draws draws(key);
  int const label = draws.bernoulli(0.5) ? 1 : 0;
  while (true) {
    Painter painter(s, draws);
    Snake pair[2];
    if (!two_snakes(s, painter, pair)) continue;
    Canvas canvas = pair[0].canvas;
    merge(canvas, pair[1].canvas);
    for (int i = 0; i < s.distractors(); ++i) distract(s, painter, canvas);

    std::size_t const marked = draws.bernoulli(0.5) ? 1 : 0;
    Point const ends[] = {pair[marked].origin, pair[label == 1 ? marked : 1 - marked].tip};
    for (Point const end : ends) {
      near(end, end, s.marker_radius + 1, [&](std::size_t pixel, int y, int x) {
        double const coverage =
            std::clamp(0.5 + s.marker_radius - std::sqrt(square(y - end.y) + square(x - end.x)), 0.0, 1.0);
        canvas[pixel] = std::max(canvas[pixel], static_cast<float>(coverage));
      });
    }
    float const brightest = *std::max_element(canvas.begin(), canvas.end());
    for (std::size_t p = 0; p < pixels.size(); ++p) {
      pixels[p] = static_cast<std::uint8_t>(canvas[p] * 255 / brightest + 0.5f);
    }
    return label;
  }
}

}  // namespace pathfinder

/// `count` images, drawn on the threads of the default host space; image i depends on (key, i) alone.
inline Sequences generate_pathfinder(std::size_t count, RandomKey key, pathfinder::Snakes const& snakes = {}) {
  ATTN_CHECK(snakes.contour_length >= 1 && snakes.contour_length <= 20 && snakes.dash_length > 0,
             "generate_pathfinder: give snakes of 1 to 20 dashes, got ", snakes.contour_length);
  constexpr std::size_t pixels = pathfinder::side * pathfinder::side;
  Sequences data = pathfinder::empty_dataset();
  data.tokens.resize(count * pixels);
  data.labels.resize(count);
  for (std::size_t i = 0; i < count; ++i) data.offsets.push_back((i + 1) * pixels);
  Kokkos::parallel_for("attn::generate_pathfinder",
                       Kokkos::RangePolicy<Kokkos::DefaultHostExecutionSpace, Kokkos::Schedule<Kokkos::Dynamic>>(
                           0, static_cast<std::int64_t>(count), Kokkos::ChunkSize(16)),
                       [&](std::int64_t i) {
                         std::array<std::uint8_t, pixels> image;
                         std::size_t const at = static_cast<std::size_t>(i);
                         data.labels[at] = pathfinder::draw(snakes, subkey(key, static_cast<std::uint64_t>(i)), image);
                         std::copy(image.begin(), image.end(),
                                   data.tokens.begin() + static_cast<std::ptrdiff_t>(at * pixels));
                       });
  Kokkos::DefaultHostExecutionSpace().fence("attn::generate_pathfinder");
  return data;
}

}  // namespace attn::data
