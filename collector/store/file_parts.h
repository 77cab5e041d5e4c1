// What is stored of a stream's file, and its digest: everything but the gaps.
#pragma once

#include <cstdint>
#include <vector>

#include "base/fd.h"
#include "collector/store/digest.h"
#include "collector/store/stream_ledger.h"
#include "muster/result.h"

namespace muster::store {

struct FilePart {
  std::uint64_t from = 0;
  std::uint64_t to = 0;
};

// Of [0, size), without the gaps, which are in order.  Pure.
std::vector<FilePart> stored_parts(const std::vector<Gap>& gaps, std::uint64_t size);

// Reads them, in their order.  Errors: kData, a sentence about the file: "it cannot be read: …".
Result<> digest_parts(const Fd& fd, const std::vector<FilePart>& parts, Digest& sum);

}  // namespace muster::store
