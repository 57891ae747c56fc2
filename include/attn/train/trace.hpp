/// Trace: what each rank did when, as a file that chrome://tracing and ui.perfetto.dev show.
#pragma once

#include "attn/io/file.hpp"
#include "attn/io/json.hpp"

#include <chrono>
#include <cstddef>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

namespace attn::train {

/// Spans of time on the lanes of one process, counted from its construction. Several threads may add to it. Of a long
/// run only the first spans are kept, a few thousand steps.
class Trace {
 public:
  using Clock = std::chrono::steady_clock;
  enum Lane { computing = 0, communicating = 1 };

  /// Notes the time from its construction to its end, unless there is no trace.
  class Span {
   public:
    Span(Trace* trace, char const* name, Lane lane = computing, double bytes = 0)
        : trace_(trace), name_(name), lane_(lane), bytes_(bytes), from_(Clock::now()) {}
    ~Span() {
      if (trace_ != nullptr) trace_->add(name_, lane_, from_, Clock::now(), bytes_);
    }
    Span(Span const&) = delete;
    Span& operator=(Span const&) = delete;

   private:
    Trace* trace_;
    char const* name_;
    Lane lane_;
    double bytes_;
    Clock::time_point from_;
  };

  void add(char const* name, Lane lane, Clock::time_point from, Clock::time_point to, double bytes = 0) {
    std::lock_guard const lock(mutex_);
    if (events_.size() < most)
      events_.push_back({name, lane, microseconds(from - zero_), microseconds(to - from), bytes});
  }

  /// The events of one rank, for `write`.
  std::string text(int rank) const {
    std::lock_guard const lock(mutex_);
    io::Json all = io::Json::array();
    all.push_back(
        {{"ph", "M"}, {"pid", rank}, {"name", "process_name"}, {"args", {{"name", "rank " + std::to_string(rank)}}}});
    for (Lane const lane : {computing, communicating}) {
      all.push_back({{"ph", "M"},
                     {"pid", rank},
                     {"tid", int(lane)},
                     {"name", "thread_name"},
                     {"args", {{"name", lane == computing ? "computing" : "communicating"}}}});
    }
    for (Event const& e : events_) {
      io::Json event = {{"ph", "X"},      {"pid", rank},  {"tid", int(e.lane)},
                        {"name", e.name}, {"ts", e.from}, {"dur", e.duration}};
      if (e.bytes > 0) event["args"] = {{"bytes", e.bytes}};
      all.push_back(std::move(event));
    }
    return all.dump();
  }

  /// One file of the texts of all ranks.
  static void write(io::Path const& path, std::vector<std::string> const& ranks) {
    io::Json all = io::Json::array();
    for (std::string const& text : ranks) {
      for (io::Json& event : io::Json::parse(text)) all.push_back(std::move(event));
    }
    io::write_file(path, io::Json{{"traceEvents", all}}.dump() + "\n");
  }

 private:
  static constexpr std::size_t most = 100000;
  struct Event {
    char const* name;
    Lane lane;
    double from, duration;  // microseconds
    double bytes;
  };
  static double microseconds(Clock::duration time) { return std::chrono::duration<double, std::micro>(time).count(); }

  mutable std::mutex mutex_;
  Clock::time_point zero_ = Clock::now();
  std::vector<Event> events_;
};

}  // namespace attn::train
