// What becomes of a stream that is open: gaps, its end, and bytes that count no more.

#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include "base/text.h"
#include "collector/replication/replica_names.h"
#include "collector/replication/replica_run.h"
#include "collector/store/digest.h"

namespace muster::replication {

using store::Gap;

Result<> ReplicaRun::add_gap(ReplicaStream& stream, const StreamGap& gap) {
  if (gap.from != stream.file.size() || (gap.to && *gap.to < gap.from) || stream.ended) {
    return fail(ErrorCode::kRunDirectory, "a gap that is not at the end of what is stored");
  }
  if (stream.is_staged()) return refused(stream.description.path, "a whole file has no gaps");
  // Written down before the hole is made: else a crash between them would pass it off as zeros.
  const Gap recorded{gap.from, gap.to, gap.reason};
  if (!stream.is_file()) {
    ledger_.gap(stream.description.path, recorded);
    MUSTER_TRY(ledger_.flush());
  }
  std::erase_if(stream.gaps, [&](const Gap& one) { return one.from == recorded.from; });
  stream.gaps.push_back(recorded);
  stream.dirty = true;
  if (!gap.to) return {};
  MUSTER_TRY(need_file(stream));
  return stream.file.skip(*gap.to - gap.from);
}

Result<> ReplicaRun::go_back(ReplicaStream& stream, std::uint64_t size) {
  ++stream.restarts;
  stream.ended = stream.commit = stream.end_durable = false;
  stream.durable = std::min(stream.durable, size);
  stream.dirty = true;
  if (!stream.is_file() && !stream.is_staged()) {
    ledger_.back(stream.description.path, size);
    store::StreamRecord& record = records_[stream.description.path];
    record.end.reset();
  }
  std::erase_if(stream.gaps, [&](const Gap& gap) { return gap.from >= size; });
  const auto certain = durable_.streams.find(stream.stored_at);
  if (certain != durable_.streams.end()) certain->second = std::min(certain->second, size);
  MUSTER_TRY(need_file(stream));
  if (size >= stream.file.size()) return {};
  return stream.file.cut_back(size);
}

void ReplicaRun::drop(ReplicaStream& stream) {
  ++stream.restarts;
  stream.dirty = stream.commit = false;
  if (!stream.is_staged()) return;
  // What has its name keeps it: its writer says what becomes of that.
  if (!stream.ended) static_cast<void>(root_.remove(stream.stored_at));
  const std::string key = key_of(stream.writer, stream.description);
  incoming_.erase(incoming_prefix(key));
  streams_.erase(key);
}

void ReplicaRun::refuse(ReplicaStream& stream, const std::string& why) {
  refused_.insert(key_of(stream.writer, stream.description));
  const auto holder = files_.find(stream.description.path);
  const bool is_anothers = holder != files_.end() && holder->second.stored;
  if (!is_anothers) manifest_.refused(stream.description.path, why);
  drop(stream);
}

void ReplicaRun::forget(const ReplicaStream& stream) {
  const auto found = streams_.find(key_of(stream.writer, stream.description));
  if (found != streams_.end() && found->second.get() == &stream) streams_.erase(found);
}

// What a restarted receiver has not seen go by is read again.
Result<std::string> ReplicaRun::digest_of(ReplicaStream& stream) {
  if (const auto digest = stream.file.digest()) return *digest;
  MUSTER_TRY(need_file(stream));
  store::Digest digest;
  std::vector<char> buffer(1 << 20);
  std::uint64_t at = 0;
  std::vector<Gap> gaps = stream.gaps;
  std::sort(gaps.begin(), gaps.end(),
            [](const Gap& one, const Gap& other) { return one.from < other.from; });
  auto gap = gaps.begin();
  while (at < stream.file.size()) {
    while (gap != gaps.end() && (!gap->to || *gap->to <= at)) ++gap;
    if (gap != gaps.end() && gap->from <= at) {
      at = *gap->to;
      continue;
    }
    std::uint64_t end = std::min<std::uint64_t>(stream.file.size(), at + buffer.size());
    if (gap != gaps.end()) end = std::min(end, gap->from);
    const ssize_t got =
        ::pread(stream.file.fd().get(), buffer.data(), end - at, static_cast<off_t>(at));
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) {
      return Failure(system_error(ErrorCode::kRunDirectory, "reading " + stream.file.name(),
                                  got < 0 ? errno : EIO));
    }
    digest.update({buffer.data(), static_cast<std::size_t>(got)});
    at += static_cast<std::uint64_t>(got);
  }
  std::string hex = digest.hex();
  stream.file.set_digest(std::move(digest));
  return hex;
}

Result<> ReplicaRun::give_up(const std::string& writer) {
  given_up_.insert(writer);
  std::vector<std::shared_ptr<ReplicaStream>> open;  // what is dropped is no longer in the map
  for (const auto& [key, stream] : streams_) {
    if (stream->writer.name == writer && !stream->ended) open.push_back(stream);
  }
  for (const auto& stream : open) {
    const std::string path = stream->description.path;
    if (stream->is_staged()) {
      drop(*stream);
      if (stream->is_file()) manifest_.waiting(path, "its node was lost before all of it came");
      continue;
    }
    MUSTER_TRY_ASSIGN(const std::string digest, digest_of(*stream));
    stream->ended = true;
    if (stream->is_file()) {
      record_entry(*stream, stream->stored_at, stream->file.size(), digest);
      manifest_.waiting(stream->stored_at, "its node was lost before all of it came");
      continue;
    }
    const std::uint64_t length = stream->file.size();
    ledger_.gap(path, {length, std::nullopt, store::gap_reason::kSenderLost});
    const store::LedgerEnd recorded{length, length - stream->missing(), digest};
    ledger_.end(path, recorded);
    records_[path].end = recorded;
  }
  return flush_records();
}

Result<> ReplicaRun::finish(ReplicaStream& stream, const StreamEnd& end) {
  if (!end.commit) {
    drop(stream);
    return {};
  }
  if (stream.ended) return {};
  if (end.length != stream.file.size()) {
    return fail(ErrorCode::kRunDirectory,
                "the end of `" + without_controls(stream.description.path) + "` is at " +
                    std::to_string(end.length) + ", but " + std::to_string(stream.file.size()) +
                    " bytes are here");
  }
  MUSTER_TRY_ASSIGN(const std::string digest, digest_of(stream));
  if (!end.digest.empty() && end.digest != digest) {
    MUSTER_TRY(go_back(stream, 0));
    return fail(ErrorCode::kData,
                "`" + without_controls(stream.description.path) +
                    "` has other bytes here than at its writer: they are asked for again");
  }
  stream.dirty = true;
  if (stream.is_staged()) {
    // Somebody else's file, a link, may be in the way.
    if (auto free = clear_way(stream.writer, stream.description.path, true); !free) {
      if (free.error().code == ErrorCode::kPermission) refuse(stream, free.error().message);
      return free;
    }
    stream.commit = true;
    stream.digest = digest;
    return {};
  }
  if (stream.is_file()) {
    record_entry(stream, stream.stored_at, stream.file.size(), digest);
    MUSTER_TRY(manifest_.flush());
  } else {
    const store::LedgerEnd recorded{end.length, end.length - stream.missing(), digest};
    ledger_.end(stream.description.path, recorded);
    MUSTER_TRY(ledger_.flush());
    records_[stream.description.path].end = recorded;
  }
  stream.ended = true;
  return {};
}

}  // namespace muster::replication
