/// Json: objects that keep the order in which their fields were set.
#pragma once

#include <nlohmann/json.hpp>

namespace attn::io {

/// JSON whose objects keep the order of their fields.
using Json = nlohmann::ordered_json;

}  // namespace attn::io
