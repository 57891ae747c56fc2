/// Included by a sibling, which is not allowed.
#pragma once
