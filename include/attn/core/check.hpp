/// Errors: one exception type, one macro, messages that start with the function and say what to do.
#pragma once

#include <sstream>
#include <stdexcept>
#include <string>

namespace attn {

/// Thrown for bad input. The message names the function and the sizes or the file at fault.
class Error : public std::runtime_error {
  using std::runtime_error::runtime_error;
};

namespace detail {

template <class... Parts>
[[noreturn]] void fail(Parts const&... parts) {
  std::ostringstream message;
  (message << ... << parts);
  throw Error(message.str());
}

}  // namespace detail
}  // namespace attn

/// ATTN_CHECK(condition, parts...): the condition reads as the contract and is true when all is well; the parts are
/// streamed one after the other into the message of an `attn::Error`. Host code only.
#define ATTN_CHECK(condition, ...)                       \
  do {                                                   \
    if (!(condition)) ::attn::detail::fail(__VA_ARGS__); \
  } while (false)
