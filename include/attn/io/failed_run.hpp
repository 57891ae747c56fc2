/// The error of a run that started well and could not go on (a loss that became NaN, say), as opposed to bad input.
#pragma once

#include "attn/core/check.hpp"

namespace attn::io {

/// Programs exit with 1 on this error and with 2 on any other `attn::Error`: see `run_main`.
class FailedRun : public Error {
  using Error::Error;
};

}  // namespace attn::io
