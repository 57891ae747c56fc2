/// Worker: a thread that does what it is given, one after the other, while its owner goes on.
#pragma once

#include <condition_variable>
#include <deque>
#include <exception>
#include <functional>
#include <mutex>
#include <thread>
#include <utility>

namespace attn::train::detail {

/// Until `begin`, work is done where it is given. An exception of the work appears at the next `wait`; what was given
/// after that work is not done.
class Worker {
 public:
  using Work = std::function<void()>;

  void begin() {
    thread_ = std::jthread([this](std::stop_token const& stop) { run(stop); });
  }
  /// Does not begin what has not begun.
  void end() {
    if (!thread_.joinable()) return;
    thread_.request_stop();
    thread_.join();
  }

  void add(Work work) {
    if (!thread_.joinable()) return work();
    std::lock_guard const lock(mutex_);
    waiting_.push_back(std::move(work));
    changed_.notify_all();
  }

  /// Returns when all is done.
  void wait() {
    if (!thread_.joinable()) return;
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [&] { return waiting_.empty() && !busy_; });
    if (error_ != nullptr) std::rethrow_exception(std::exchange(error_, nullptr));
  }

 private:
  void run(std::stop_token const& stop) {
    for (std::unique_lock lock(mutex_);;) {
      if (!changed_.wait(lock, stop, [&] { return !waiting_.empty(); })) return;
      if (stop.stop_requested()) return;
      Work const work = std::move(waiting_.front());
      waiting_.pop_front();
      busy_ = true;
      lock.unlock();
      std::exception_ptr error;
      try {
        work();
      } catch (...) {
        error = std::current_exception();
      }
      lock.lock();
      busy_ = false;
      if (error != nullptr) {
        error_ = error;
        waiting_.clear();
      }
      changed_.notify_all();
    }
  }

  std::mutex mutex_;
  std::condition_variable_any changed_;
  std::deque<Work> waiting_;
  bool busy_ = false;
  std::exception_ptr error_;
  std::jthread thread_;  // last: it uses all of the above
};

}  // namespace attn::train::detail
