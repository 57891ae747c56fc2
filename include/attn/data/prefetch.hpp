/// Preparing the next item on another thread while the present one is in use.
#pragma once

#include <array>
#include <condition_variable>
#include <cstddef>
#include <exception>
#include <functional>
#include <mutex>
#include <stop_token>
#include <thread>
#include <utility>

namespace attn::data {

/// Two items take turns: one belongs to the user, the other is filled in the background. `fill` is called for one item
/// after the other, always on the background thread; it returns false when there is nothing more. Its exceptions
/// appear at the call of `next` that asks for the item. The items must outlive this, and are left alone after it.
template <class Item>
class Prefetch {
 public:
  Prefetch(std::array<Item, 2>& items, std::function<bool(Item&)> fill)
      : items_(items), fill_(std::move(fill)), worker_([this](std::stop_token stop) { work(stop); }) {}
  Prefetch(Prefetch&&) = delete;

  /// The next item, valid until the next call; nullptr after the last one.
  Item* next() {
    std::unique_lock lock(mutex_);
    if (in_use_) {
      state_[current_] = State::empty;
      current_ = 1 - current_;
      in_use_ = false;
      changed_.notify_all();
    }
    changed_.wait(lock, [this] { return state_[current_] != State::empty; });
    if (error_ != nullptr && state_[current_] == State::end) std::rethrow_exception(error_);
    in_use_ = state_[current_] == State::full;
    return in_use_ ? &items_[current_] : nullptr;
  }

 private:
  enum class State { empty, full, end };

  void work(std::stop_token const& stop) {
    for (std::size_t i = 0;; i = 1 - i) {
      std::unique_lock lock(mutex_);
      changed_.wait(lock, stop, [&] { return state_[i] == State::empty; });
      if (stop.stop_requested()) return;
      lock.unlock();
      bool filled = false;
      std::exception_ptr error;
      try {
        filled = fill_(items_[i]);
      } catch (...) {
        error = std::current_exception();
      }
      lock.lock();
      error_ = error;
      state_[i] = filled ? State::full : State::end;
      changed_.notify_all();
      if (!filled) return;
    }
  }

  std::array<Item, 2>& items_;
  std::function<bool(Item&)> fill_;
  std::mutex mutex_;
  std::condition_variable_any changed_;
  std::array<State, 2> state_{State::empty, State::empty};
  std::size_t current_ = 0;
  bool in_use_ = false;
  std::exception_ptr error_;
  std::jthread worker_;  // last: it stops and joins before anything else goes
};

}  // namespace attn::data
