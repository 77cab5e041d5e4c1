// What a collector calls what it stores: a stream's key, and the names of what is not complete yet.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "collector/replication/stream_source.h"
#include "collector/store/safe_path.h"
#include "collector/store/writer.h"
#include "muster/result.h"

namespace muster::replication {

inline constexpr std::string_view kIncoming = ".muster/incoming/";

// kPermission: the writer is told.
Failure refused(const std::string& path, const std::string& why);

// A name of the output folders may be several writers'; any other stream is one writer's.
std::string key_of(const store::Writer& writer, const StreamDescription& description);
std::string incoming_prefix(const std::string& key);

// Names the content, so that what is there is resumed only by the same.
std::string incoming_name(const std::string& key, const StreamDescription& description);
std::optional<std::uint64_t> size_of(const store::SafeRoot& root, const std::string& path);

}  // namespace muster::replication
