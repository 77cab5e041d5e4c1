#include "collector/store/file_parts.h"

#include <algorithm>
#include <cerrno>
#include <memory>
#include <sys/types.h>
#include <unistd.h>

namespace muster::store {
namespace {

// So small that what was read is still in the core's cache when it is hashed.
constexpr std::uint64_t kBlock = 256 << 10;

}  // namespace

std::vector<FilePart> stored_parts(const std::vector<Gap>& gaps, std::uint64_t size) {
  std::vector<FilePart> parts;
  std::uint64_t at = 0;
  for (const Gap& gap : gaps) {
    if (at >= size) break;
    if (gap.from > at) parts.push_back({at, std::min(gap.from, size)});
    at = std::max(at, gap.to.value_or(gap.from));
  }
  if (at < size) parts.push_back({at, size});
  return parts;
}

Result<> digest_parts(const Fd& fd, const std::vector<FilePart>& parts, Digest& sum) {
  std::uint64_t most = 0;
  for (const FilePart& part : parts) most = std::max(most, std::min(part.to - part.from, kBlock));
  const auto buffer = std::make_unique_for_overwrite<char[]>(most);
  for (const FilePart& part : parts) {
    for (std::uint64_t at = part.from; at < part.to;) {
      const ssize_t got =
          ::pread(fd.get(), buffer.get(), std::min(part.to - at, most), static_cast<off_t>(at));
      if (got < 0 && errno == EINTR) continue;
      if (got < 0) return Failure(system_error(ErrorCode::kData, "it cannot be read"));
      if (got == 0) return fail(ErrorCode::kData, "it ends at " + std::to_string(at));
      sum.update({buffer.get(), static_cast<std::size_t>(got)});
      at += static_cast<std::uint64_t>(got);
    }
  }
  return {};
}

}  // namespace muster::store
