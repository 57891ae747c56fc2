/// Breaks the layers: testing/ is for users, no layer includes it.
#pragma once
#include "attn/testing/helper.hpp"
