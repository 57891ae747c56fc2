/// Breaks the layers: the header of everything is for users.
#pragma once
#include "attn/attn.hpp"
