/// EmulatedGrid: emulated blocks that run at the same time, and what they tell one another about memory that they
/// share.
///
/// One block runs at a time. Where it takes work, tells others something or waits for them, the next goes on. The grid
/// throws where a thread touches shared numbers that another wrote or added to, without having heard of it: by a number
/// in memory from another block, by barriers within its own.
#pragma once

#include <condition_variable>
#include <map>
#include <mutex>
#include <stdexcept>
#include <thread>

#include "emulated_threads.hpp"

namespace attn_test {

/// Up to which time somebody knows the deeds of each.
class Clock {
 public:
  explicit Clock(std::size_t n = 0) : times_(n) {}
  unsigned& operator[](int who) { return times_[std::size_t(who)]; }
  unsigned operator[](int who) const { return times_[std::size_t(who)]; }
  void learn(Clock const& other) {
    unsigned* const mine = times_.data();
    unsigned const* const theirs = other.times_.data();
    std::size_t const n = times_.size();
#pragma omp simd
    for (std::size_t i = 0; i < n; ++i) mine[i] = mine[i] < theirs[i] ? theirs[i] : mine[i];
  }

 private:
  std::vector<unsigned> times_;
};

class EmulatedGrid {
 public:
  /// How many numbers blocks may tell one another.
  static constexpr int max_told = 64;

  /// `takes_turns`: whether blocks go on by turns; otherwise one after the other, as far as each can.
  EmulatedGrid(int blocks, bool takes_turns)
      : takes_turns_(takes_turns), done_(std::size_t(blocks)), untold_(std::size_t(blocks)) {}

  void run(std::function<void(int)> const& body) {
    std::vector<std::thread> threads;
    for (int b = 0; b < int(done_.size()); ++b) {
      threads.emplace_back([&, b] {
        try {
          wait_for_turn(b);
          body(b);
        } catch (...) {
          std::lock_guard const lock(mutex_);
          if (!failure_) failure_ = std::current_exception();
        }
        pass_on(b, true);
      });
    }
    for (std::thread& t : threads) t.join();
    if (failure_) std::rethrow_exception(failure_);
  }

  /// Lets the next block run, and returns when it is this one's turn again.
  void go_on(int block) {
    if (takes_turns_) hand_over(block);
  }

  /// A thread of a block, which knows `known`, reads or writes four shared numbers.
  void touch(int block, int thread, Clock const& known, void const* what) {
    auto const [at, is_new] = deeds_.try_emplace(what);
    Deed& last = at->second;
    bool const knows = is_new || (last.block == block ? last.thread == thread || known[last.thread] >= last.time
                                                      : last.told >= 0 && known[last.told] >= last.told_at);
    ATTN_CHECK(knows, "EmulatedGrid: thread ", thread, " of block ", block,
               " touches a sum and has not heard of what thread ", last.thread, " of block ", last.block, " did to it");
    last = {block, thread, known[thread], -1, 0};
    untold_[std::size_t(block)].push_back(what);
  }
  /// It tells a number; `first_agent` is where a clock has those of numbers that are told.
  void tell(int block, int thread, Clock const& known, int first_agent, unsigned* number, unsigned value) {
    std::erase_if(untold_[std::size_t(block)], [&](void const* what) {
      Deed& deed = deeds_.at(what);
      if (deed.block != block) return true;
      if (deed.thread != thread && known[deed.thread] < deed.time) return false;
      deed.told = first_agent + agent(number);
      deed.told_at = value;
      return true;
    });
    *number = value;
    ++told_;
    go_on(block);
  }
  /// Returns the agent that is to be known as having told what was heard.
  template <class Yield>
  int hear(int block, unsigned const* number, unsigned value, Yield const& yield) {
    long idle = 0;
    for (long told = told_; *number < value;) {
      idle = told == told_ ? idle + 1 : 0;
      told = told_;
      ATTN_CHECK(idle < 20000, "EmulatedGrid: block ", block, " waits for others that tell it nothing");
      yield();
      hand_over(block);
    }
    return agent(number);
  }

 private:
  struct Deed {
    int block = -1, thread = -1;
    unsigned time = 0;
    int told = -1;
    unsigned told_at = 0;
  };

  int agent(unsigned const* number) {
    int const a = agents_.try_emplace(number, int(agents_.size())).first->second;
    ATTN_CHECK(a < max_told, "EmulatedGrid: blocks tell more than ", max_told, " numbers");
    return a;
  }
  void wait_for_turn(int block) {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [&] { return turn_ == block || failure_; });
    if (failure_) throw std::runtime_error("EmulatedGrid: another block failed");
  }
  void pass_on(int block, bool is_done = false) {
    std::lock_guard const lock(mutex_);
    done_[std::size_t(block)] = is_done;
    for (std::size_t i = 1; i <= done_.size(); ++i) {
      turn_ = int((std::size_t(block) + i) % done_.size());
      if (!done_[std::size_t(turn_)]) break;
    }
    changed_.notify_all();
  }
  void hand_over(int block) {
    pass_on(block);
    wait_for_turn(block);
  }

  bool takes_turns_;
  std::vector<bool> done_;
  int turn_ = 0;
  long told_ = 0;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::exception_ptr failure_;
  std::map<void const*, Deed> deeds_;
  std::vector<std::vector<void const*>> untold_;  ///< of each block
  std::map<unsigned const*, int> agents_;
};

}  // namespace attn_test
