/// Which version of attn is this? The build system reads the three numbers from here.
#pragma once

#define ATTN_VERSION_MAJOR 0  ///< grows when what users wrote must change
#define ATTN_VERSION_MINOR 1  ///< grows with what is new
#define ATTN_VERSION_PATCH 0  ///< grows with mended faults

/// One comparable number: 1.2.3 is 10203.
#define ATTN_VERSION (ATTN_VERSION_MAJOR * 10000 + ATTN_VERSION_MINOR * 100 + ATTN_VERSION_PATCH)
