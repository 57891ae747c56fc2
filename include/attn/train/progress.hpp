/// How far a run is: one line that redraws itself on a terminal, plain lines from time to time everywhere else.
#pragma once

#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <iostream>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace attn::train {

/// Where progress is shown, and how often.
struct ProgressOptions {
  std::ostream* stream = &std::cerr;
  bool terminal = ::isatty(STDERR_FILENO) != 0;  // whether `stream` ends at a terminal
  int width = 0;                                 // columns of the terminal; 0: ask it
  double redraw_seconds = 0.1;                   // on a terminal
  double line_seconds = 30;                      // elsewhere
};

namespace detail {

/// "3,412", so that large rates can be read.
inline std::string grouped(std::int64_t number) {
  std::string text = std::to_string(number);
  std::size_t const first = number < 0 ? 1 : 0;
  for (std::size_t i = text.size(); i > first + 3;) text.insert(i -= 3, 1, ',');
  return text;
}

/// "0:07", "12:34" or "1:02:03".
inline std::string duration(double seconds) {
  if (!std::isfinite(seconds) || seconds > 3.6e8) return "-:--";
  auto const total = static_cast<long long>(std::llround(std::max(seconds, 0.0)));
  char text[32];
  if (total < 3600) {
    std::snprintf(text, sizeof text, "%lld:%02lld", total / 60, total % 60);
  } else {
    std::snprintf(text, sizeof text, "%lld:%02lld:%02lld", total / 3600, total / 60 % 60, total % 60);
  }
  return text;
}

/// Columns that a UTF-8 text takes, where each letter takes one.
inline std::size_t columns(std::string_view text) {
  return static_cast<std::size_t>(
      std::count_if(text.begin(), text.end(), [](char c) { return (static_cast<unsigned char>(c) & 0xc0) != 0x80; }));
}

/// The first `n` columns of a UTF-8 text.
inline std::string shortened(std::string_view text, std::size_t n) {
  std::size_t end = 0;
  for (std::size_t seen = 0; end < text.size(); ++end) {
    bool const starts_letter = (static_cast<unsigned char>(text[end]) & 0xc0) != 0x80;
    if (starts_letter && seen++ == n) break;
  }
  return std::string(text.substr(0, end));
}

/// What a moment of a run looks like.
struct Moment {
  std::string label;
  double fraction = 0;  // of the work that is done
  std::vector<std::pair<std::string, double>> values;
  double items_per_second = 0;
  std::string unit;
  double seconds_left = 0;

  std::string percent() const { return std::to_string(static_cast<int>(100 * std::clamp(fraction, 0.0, 1.0))) + "%"; }
  std::string metrics() const {
    std::string text;
    char number[32];
    for (auto const& [name, value] : values) {
      std::snprintf(number, sizeof number, "%.4g", value);
      text += "  " + name + " " + number;
    }
    return text;
  }
  std::string rate() const {
    bool const slow = items_per_second < 10;
    char number[32];
    std::snprintf(number, sizeof number, "%.2g", items_per_second);
    return "  " + (slow ? std::string(number) : grouped(std::llround(items_per_second))) + " " + unit + "/s";
  }
  std::string left() const { return "  " + duration(seconds_left) + " left"; }

  /// The plain line.
  std::string line() const { return label + "  " + percent() + metrics() + rate() + left(); }

  /// The line for a terminal of so many columns: in a narrow one the bar shrinks first, then it goes, then the rate,
  /// then the end of what remains.
  std::string bar(std::size_t width) const {
    std::string const front =
        label + " " + std::string(4 - std::min<std::size_t>(4, percent().size()), ' ') + percent();
    std::string const back = metrics() + rate() + left();
    std::size_t const used = columns(front) + columns(back) + 3;  // a space and two brackets
    if (used + 5 > width) {
      std::string const without_bar = front + back;
      if (columns(without_bar) <= width) return without_bar;
      return shortened(front + metrics() + left(), width);
    }
    std::size_t const cells = std::min<std::size_t>(width - used, 30);
    auto const done = static_cast<std::size_t>(std::clamp(fraction, 0.0, 1.0) * static_cast<double>(cells));
    std::string const head = done < cells ? ">" : "";
    return front + " [" + std::string(done, '=') + head + std::string(cells - done - head.size(), ' ') + "]" + back;
  }
};

inline std::size_t terminal_width() {
  struct ::winsize size {};
  bool const known = ::ioctl(STDERR_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0;
  return known ? size.ws_col : 80;
}

}  // namespace detail

/// Shows progress through `total` items (images, say). On a terminal the line is redrawn at most ten times a second and
/// taken away at the end; elsewhere a line is written every half minute. Lines that must stay go through `print`.
class Progress {
 public:
  using Clock = std::chrono::steady_clock;
  using Values = std::vector<std::pair<std::string, double>>;

  /// `done` items were there before, in a resumed run: they count as done, not for the rate.
  Progress(std::string label, std::int64_t total, std::string unit, std::int64_t done = 0, ProgressOptions options = {})
      : options_(options), total_(total), first_(done), done_(done), started_(Clock::now()), shown_(started_) {
    moment_.label = std::move(label);
    moment_.unit = std::move(unit);
  }
  Progress(Progress&&) = delete;
  ~Progress() { clear(); }

  /// What the line begins with: "softmax, epoch 3/10".
  void label(std::string text) { moment_.label = std::move(text); }

  /// `done` of the items are done now; shows it if it is time to.
  void update(std::int64_t done, Values values = {}) {
    done_ = done;
    moment_.values = std::move(values);
    Clock::time_point const now = Clock::now();
    double const interval = options_.terminal ? options_.redraw_seconds : options_.line_seconds;
    if (seconds_between(shown_, now) < interval) return;
    shown_ = now;
    show(now);
  }

  /// A line that stays, above the line that moves.
  void print(std::string_view text) {
    clear();
    *options_.stream << text << "\n" << std::flush;
  }

  /// Takes the moving line away; the next update brings it back.
  void clear() {
    if (!drawn_) return;
    *options_.stream << "\r\x1b[K" << std::flush;
    drawn_ = false;
  }

  /// Items a second since the start.
  double rate() const { return rate(Clock::now()); }
  double seconds() const { return seconds_between(started_, Clock::now()); }

 private:
  static double seconds_between(Clock::time_point from, Clock::time_point to) {
    return std::chrono::duration<double>(to - from).count();
  }
  double rate(Clock::time_point now) const {
    double const elapsed = seconds_between(started_, now);
    return elapsed > 0 ? static_cast<double>(done_ - first_) / elapsed : 0;
  }

  void show(Clock::time_point now) {
    moment_.items_per_second = rate(now);
    moment_.fraction = total_ > 0 ? static_cast<double>(done_) / static_cast<double>(total_) : 1;
    moment_.seconds_left = static_cast<double>(total_ - done_) / moment_.items_per_second;
    if (!options_.terminal) {
      *options_.stream << moment_.line() << "\n" << std::flush;
      return;
    }
    // One column stays free: some terminals wrap as soon as the last one is written.
    std::size_t const width = options_.width > 0 ? std::size_t(options_.width) : detail::terminal_width();
    *options_.stream << "\r" << moment_.bar(width - 1) << "\x1b[K" << std::flush;
    drawn_ = true;
  }

  ProgressOptions options_;
  std::int64_t total_;
  std::int64_t first_;
  std::int64_t done_;
  Clock::time_point started_;
  Clock::time_point shown_;
  detail::Moment moment_;
  bool drawn_ = false;
};

}  // namespace attn::train
