/// build_advice: what the flags that a program was compiled with cost attention on this machine.
#pragma once

#include <cstdio>
#include <string>
#include <string_view>

namespace attn {

/// A sentence to whoever compiled this without optimisation, or for any x86-64 where the machine has AVX2; else empty.
/// The first call of `attention` on a host prints it to stderr, and `describe` ends with it. Define
/// ATTN_NO_BUILD_ADVICE to silence both.
inline std::string_view build_advice() {
#if defined(ATTN_NO_BUILD_ADVICE) || !defined(__GNUC__)
  return "";
#elif !defined(__OPTIMIZE__)
  return "compiled without optimisation, which makes attention many times slower: configure with "
         "-DCMAKE_BUILD_TYPE=Release";
#elif defined(__x86_64__) && !defined(__AVX2__)
  if (!__builtin_cpu_supports("avx2")) return "";
  return "compiled for any x86-64, which leaves the vectors of this machine unused: link attn::native, or compile with "
         "-march=native";
#else
  return "";
#endif
}

namespace detail {

/// Prints the advice once. In programs that need none there is nothing left of it.
inline void print_build_advice() {
#if !defined(ATTN_NO_BUILD_ADVICE) && (!defined(__OPTIMIZE__) || (defined(__x86_64__) && !defined(__AVX2__)))
  [[maybe_unused]] static bool const printed = [] {
    std::string_view const advice = build_advice();
    return !advice.empty() && std::fprintf(stderr, "attn: %.*s\n", int(advice.size()), advice.data()) > 0;
  }();
#endif
}

inline std::string with_build_advice(std::string text) {
  if (std::string_view const advice = build_advice(); !advice.empty()) text.append("; ").append(advice);
  return text;
}

}  // namespace detail
}  // namespace attn
