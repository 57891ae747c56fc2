/// Fibers: threads of one program that hand the processor to one another, for emulated_block.hpp.
#pragma once

#include "attn/core/check.hpp"

#include <setjmp.h>
#include <ucontext.h>

#include <cstdint>
#include <exception>
#include <functional>
#include <memory>
#include <vector>

#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/common_interface_defs.h>
#endif

namespace attn_test {

/// Fibers that hand the processor to one another.
class Fibers {
 public:
  void run(int count, std::function<void(int)> const& body) {
    body_ = &body;
    fibers_.clear();
    fibers_.resize(std::size_t(count));
    live_ = count;
    idle_ = 0;
    failure_ = nullptr;
    for (int f = 0; f < count; ++f) {
      Fiber& fiber = at(f);
      fiber.stack.reset(new char[stack_bytes]);  // pages that nobody touches take no memory
      getcontext(&fiber.context);
      fiber.context.uc_stack = {fiber.stack.get(), 0, stack_bytes};
      fiber.context.uc_link = nullptr;
      auto const self = reinterpret_cast<std::uintptr_t>(this);
      makecontext(&fiber.context, reinterpret_cast<void (*)()>(&Fibers::start), 2, unsigned(self >> 32),
                  unsigned(self));
    }
    current_ = 0;
    main_.started = true;
    if (count > 0) switch_context(main_, at(0));
    if (failure_) std::rethrow_exception(failure_);
  }

  int current() const { return current_; }
  /// Something was achieved since all waited.
  void progress() { idle_ = 0; }
  /// Lets another fiber of first ... first + count - 1 run.
  void yield(int first, int count) {
    ATTN_CHECK(++idle_ < 8 * int(fibers_.size()) + 64, "EmulatedBlock: threads wait for others that never come");
    int next = current_;
    do {
      next = first + (next - first + 1) % count;
    } while (at(next).done);
    go_to(next);
  }

 private:
  static constexpr std::size_t stack_bytes = 256 * 1024;

  struct Fiber {
    ucontext_t context{};  // where it starts
    jmp_buf place{};       // and goes on, for swapcontext() asks the kernel for the mask of signals each time
    std::unique_ptr<char[]> stack;
    bool started = false, done = false;
  };

  Fiber& at(int f) { return fibers_[std::size_t(f)]; }

  static void start(unsigned high, unsigned low) {
    auto* const self = reinterpret_cast<Fibers*>(std::uintptr_t(high) << 32 | low);
    self->finish_switch();
    try {
      (*self->body_)(self->current_);
    } catch (...) {
      self->failure_ = std::current_exception();
    }
    self->at(self->current_).done = true;
    self->progress();
    --self->live_;
    Fiber& last = self->at(self->current_);
    if (self->live_ == 0 || self->failure_) {
      self->switch_context(last, self->main_);
    } else {
      self->yield(0, int(self->fibers_.size()));
    }
  }
  void go_to(int next) {
    if (next == current_) return;
    Fiber& from = at(current_);
    current_ = next;
    switch_context(from, at(next));
  }
  void switch_context(Fiber& from, Fiber& to) {
#if defined(__SANITIZE_ADDRESS__)
    void* stack = nullptr;
    bool const to_main = &to == &main_;
    __sanitizer_start_switch_fiber(from.done ? nullptr : &stack, to_main ? main_bottom_ : to.stack.get(),
                                   to_main ? main_size_ : stack_bytes);
    from_main_ = &from == &main_;
    swapcontext(&from.context, &to.context);
    __sanitizer_finish_switch_fiber(stack, nullptr, nullptr);
#else
    if (_setjmp(from.place) != 0) return;
    if (to.started) _longjmp(to.place, 1);
    to.started = true;
    setcontext(&to.context);
#endif
  }
  void finish_switch() {
#if defined(__SANITIZE_ADDRESS__)
    void const* bottom = nullptr;
    std::size_t size = 0;
    __sanitizer_finish_switch_fiber(nullptr, &bottom, &size);
    if (from_main_) {
      main_bottom_ = bottom;
      main_size_ = size;
    }
#endif
  }

  std::function<void(int)> const* body_ = nullptr;
  std::vector<Fiber> fibers_;
  Fiber main_;
  int current_ = 0, live_ = 0, idle_ = 0;
  std::exception_ptr failure_;
#if defined(__SANITIZE_ADDRESS__)
  bool from_main_ = false;
  void const* main_bottom_ = nullptr;
  std::size_t main_size_ = 0;
#endif
};

}  // namespace attn_test
