// "x", "x²", "x³", ...: what runs with polynomial attention are called.
#pragma once

#include <string>

inline std::string power_name(int power) {
  char const* const digits[] = {"⁰", "¹", "²", "³", "⁴", "⁵", "⁶", "⁷", "⁸", "⁹"};
  std::string name = "x";
  if (power == 1) return name;
  for (char const digit : std::to_string(power)) name += digits[digit - '0'];
  return name;
}
