#include "collector/replication/descriptor_cache.h"

#include <fcntl.h>
#include <sys/stat.h>

namespace muster::replication {

Result<int> DescriptorCache::open(StreamNumber stream, const std::string& path) {
  if (const auto found = by_stream_.find(stream); found != by_stream_.end()) {
    entries_.splice(entries_.begin(), entries_, found->second);
    return entries_.front().fd.get();
  }
  const std::string full = root_ + "/" + path;
  // Not waited for where somebody put a FIFO in its place.
  Fd fd(::open(full.c_str(), O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC));
  if (!fd) return Failure(system_error(ErrorCode::kData, "opening " + full));
  struct stat facts {};
  if (::fstat(fd.get(), &facts) != 0 || !S_ISREG(facts.st_mode)) {
    return fail(ErrorCode::kData, full + " is no regular file");
  }
  if (entries_.size() >= most_) {
    by_stream_.erase(entries_.back().stream);
    entries_.pop_back();
  }
  entries_.push_front({stream, std::move(fd)});
  by_stream_[stream] = entries_.begin();
  return entries_.front().fd.get();
}

void DescriptorCache::close(StreamNumber stream) {
  const auto found = by_stream_.find(stream);
  if (found == by_stream_.end()) return;
  entries_.erase(found->second);
  by_stream_.erase(found);
}

}  // namespace muster::replication
