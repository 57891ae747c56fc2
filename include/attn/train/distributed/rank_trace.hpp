/// RankTrace: the traces of all ranks of a run, in one file.
#pragma once

#include "attn/train/trace.hpp"

#include <optional>
#include <utility>

namespace attn::train {

/// `begin` and `end` are called by all ranks; without a path nothing is traced. Sums of a communicator are noted, too.
template <class C>
class RankTrace {
 public:
  RankTrace(C& ranks, io::Path path) : ranks_(ranks), path_(std::move(path)) {}
  RankTrace(RankTrace const&) = delete;
  RankTrace& operator=(RankTrace const&) = delete;
  ~RankTrace() { watch(nullptr); }

  void begin() {
    if (path_.empty()) return;
    ranks_.barrier();
    trace_.emplace();
    watch(&*trace_);
  }
  /// Rank 0 writes the file.
  void end() {
    if (!trace_) return;
    watch(nullptr);
    auto const texts = ranks_.gather(trace_->text(ranks_.rank()));
    trace_.reset();
    if (ranks_.rank() == 0) Trace::write(path_, texts);
  }

  Trace::Span span(char const* name) { return {trace_ ? &*trace_ : nullptr, name}; }

 private:
  void watch(Trace* trace) {
    if constexpr (requires { ranks_.trace; }) ranks_.trace = trace;
  }

  C& ranks_;
  io::Path path_;
  std::optional<Trace> trace_;
};

}  // namespace attn::train
