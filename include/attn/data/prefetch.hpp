/// Preparing the next items on other threads while the present one is in use.
#pragma once

#include "attn/core/check.hpp"

#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <functional>
#include <mutex>
#include <stop_token>
#include <thread>
#include <utility>
#include <vector>

namespace attn::data {

/// Items are numbered from 0 and used in that order. `workers` threads fill them ahead, into the places of a ring: one
/// place belongs to the user, the others to the workers, so that there are as many items ahead as places but one.
///
/// `fill(number, item, worker)` makes an item and returns false when there is none of that number, nor a later one. It
/// is called on a worker's thread, for ascending numbers on each of them; an item that depends on its number alone is
/// the same for any number of workers. An exception appears at the call of `next` that asks for the item. The places
/// must outlive this, and are left alone after it.
template <class Item>
class Prefetch {
 public:
  using Fill = std::function<bool(std::uint64_t number, Item& item, std::size_t worker)>;

  Prefetch(std::vector<Item>& places, std::size_t workers, Fill fill)
      : places_(places), fill_(std::move(fill)), states_(places.size()) {
    ATTN_CHECK(workers > 0 && places.size() > 1, "Prefetch: give at least one worker and two places, got ", workers,
               " and ", places.size());
    for (std::size_t w = 0; w < workers; ++w) {
      threads_.emplace_back([this, w, workers](std::stop_token stop) { work(stop, w, workers); });
    }
  }
  Prefetch(Prefetch&&) = delete;

  /// The next item, valid until the next call; nullptr after the last one.
  Item* next() {
    std::unique_lock lock(mutex_);
    if (in_use_) {
      states_[next_ % places_.size()] = {};
      ++next_;
      in_use_ = false;
      changed_.notify_all();
    }
    State const& state = states_[next_ % places_.size()];
    changed_.wait(lock, [&] { return state.is != Is::empty; });
    if (state.error != nullptr) std::rethrow_exception(state.error);
    in_use_ = state.is == Is::full;
    return in_use_ ? &places_[next_ % places_.size()] : nullptr;
  }

 private:
  enum class Is { empty, full, end };
  struct State {
    Is is = Is::empty;
    std::exception_ptr error = nullptr;
  };

  void work(std::stop_token const& stop, std::size_t worker, std::size_t workers) {
    for (std::uint64_t number = worker;; number += workers) {
      std::size_t const place = number % places_.size();
      {
        std::unique_lock lock(mutex_);
        changed_.wait(lock, stop, [&] { return number < next_ + places_.size(); });
        if (stop.stop_requested()) return;
      }
      State state;
      try {
        state.is = fill_(number, places_[place], worker) ? Is::full : Is::end;
      } catch (...) {
        state = {Is::end, std::current_exception()};
      }
      std::unique_lock lock(mutex_);
      states_[place] = state;
      changed_.notify_all();
      if (state.is == Is::end) return;
    }
  }

  std::vector<Item>& places_;
  Fill fill_;
  std::mutex mutex_;
  std::condition_variable_any changed_;
  std::vector<State> states_;  // of each place
  std::uint64_t next_ = 0;     // the number of the item in use, or of the next one
  bool in_use_ = false;
  std::vector<std::jthread> threads_;  // last: they stop and join before anything else goes
};

}  // namespace attn::data
