/// StopRequest: Ctrl-C as a request that a training loop answers when its step is over.
#pragma once

#include <array>
#include <csignal>

namespace attn::train {

/// While one lives, the first SIGINT or SIGTERM is only remembered; a second one ends the program at once, as it would
/// have without it. One at a time, on the main thread.
///
/// The handler has a stack of its own: oneDNN's matrix products point the stack register into a buffer of the heap
/// while they run, and a signal frame written there damages what lies next to it.
///
///     attn::train::StopRequest const stop;
///     while (!stop.requested()) { ... }
///     return stop.exit_code();
class StopRequest {
 public:
  StopRequest() {
    signal_number = 0;
    ::stack_t const stack{.ss_sp = stack_.data(), .ss_flags = 0, .ss_size = stack_.size()};
    ::sigaltstack(&stack, &stack_before_);
    struct ::sigaction action {};
    action.sa_handler = [](int number) { signal_number = number; };
    action.sa_flags = SA_RESTART | SA_RESETHAND | SA_ONSTACK;  // the next one finds the default action
    ::sigemptyset(&action.sa_mask);
    ::sigaction(SIGINT, &action, &interrupt_before_);
    ::sigaction(SIGTERM, &action, &terminate_before_);
  }
  ~StopRequest() {
    ::sigaction(SIGINT, &interrupt_before_, nullptr);
    ::sigaction(SIGTERM, &terminate_before_, nullptr);
    ::sigaltstack(&stack_before_, nullptr);
  }
  StopRequest(StopRequest const&) = delete;
  StopRequest& operator=(StopRequest const&) = delete;

  bool requested() const { return signal_number != 0; }

  /// What a shell expects of a program that a signal ended, 128 + its number; 0 when none came.
  int exit_code() const { return signal_number == 0 ? 0 : 128 + signal_number; }

 private:
  inline static volatile std::sig_atomic_t signal_number = 0;
  alignas(64) std::array<char, 65536> stack_;
  ::stack_t stack_before_{};
  struct ::sigaction interrupt_before_ {};
  struct ::sigaction terminate_before_ {};
};

}  // namespace attn::train
