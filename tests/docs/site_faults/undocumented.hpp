/// A header with faults: names that lack a comment.
#pragma once

namespace attn {

struct Undocumented {
  int member = 0;  // members whose names say it need no comment
};

/// This one has a comment.
struct Documented {
  struct Tape {};
};

inline int undocumented_function(int x) { return x; }

namespace detail {
inline int not_public(int x) { return x; }
}  // namespace detail

///@{
/// Two that share a comment.
inline int first(int x) { return x; }
inline int second(int x) { return x; }
///@}

/// Says that it takes <nothing>.
inline int bad_comment() { return 0; }

}  // namespace attn
