// Open descriptors of a run directory's files, a bounded number: the least recently used go.
#pragma once

#include <cstdint>
#include <list>
#include <string>
#include <unordered_map>

#include "base/fd.h"
#include "collector/replication/stream_source.h"

namespace muster::replication {

class DescriptorCache {
 public:
  DescriptorCache(std::string root, std::size_t most) : root_(std::move(root)), most_(most) {}

  // For reading; links are not followed.  An Error: it is not there, or is no regular file.  Valid
  // until the next call.
  Result<int> open(StreamNumber stream, const std::string& path);
  void close(StreamNumber stream);

 private:
  struct Entry {
    StreamNumber stream = 0;
    Fd fd;
  };

  const std::string root_;
  const std::size_t most_;
  std::list<Entry> entries_;  // the one that was used last is first
  std::unordered_map<StreamNumber, std::list<Entry>::iterator> by_stream_;
};

}  // namespace muster::replication
