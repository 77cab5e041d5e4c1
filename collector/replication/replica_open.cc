// A stream is opened: where its bytes go, and how many of them are there.

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>

#include "base/text.h"
#include "collector/replication/replica_names.h"
#include "collector/replication/replica_run.h"
#include "collector/store/stream_kind.h"

namespace muster::replication {

Result<std::shared_ptr<ReplicaStream>> ReplicaRun::open_stream(
    const store::Writer& writer, const StreamDescription& description) {
  if (const auto why = store::why_unsafe(description.path)) return refused(description.path, *why);
  if (store::kind_of(description.path) != description.kind) {
    return refused(description.path, "no stream of that kind has such a name");
  }
  const bool is_file = description.kind == store::StreamKind::kFile;
  if (description.kind == store::StreamKind::kControl && !description.whole) {
    return refused(description.path, "it is replaced as a whole");
  }
  if (description.whole && store::is_append_only(description.kind)) {
    return refused(description.path, "it grows, and is never replaced");
  }
  MUSTER_TRY(refuse_own(description));
  if (!is_file) {
    const auto record = records_.find(description.path);
    if (record != records_.end() && !record->second.writer.empty() &&
        record->second.writer != writer.name) {
      return refused(description.path,
                     "it is written by " + without_controls(record->second.writer));
    }
  }
  const std::string key = key_of(writer, description);
  if (refused_.contains(key)) return refused(description.path, "it cannot have that name");
  MUSTER_TRY(check_quota(0));
  const auto known = streams_.find(key);
  if (known != streams_.end() && known->second->description.generation == description.generation &&
      known->second->description.whole == description.whole) {
    known->second->writer = writer;
    return known->second;
  }
  if (known == streams_.end() && streams_.size() >= limits_.streams) {
    return refused(description.path, "the run has more than the " +
                                         std::to_string(limits_.streams) +
                                         " streams that it may have");
  }
  auto stream = std::make_shared<ReplicaStream>();
  stream->writer = writer;
  stream->description = description;
  if (is_there(*stream)) {
    stream->ended = stream->end_durable = true;
    stream->durable = description.size_hint;
    stream->file = store::AppendFile(Fd(), description.path, description.size_hint);
  } else if (description.whole) {
    MUSTER_TRY(open_staged(*stream));
  } else if (is_file) {
    MUSTER_TRY(open_growing_file(*stream));
  } else {
    MUSTER_TRY(open_ledgered(*stream));
  }
  streams_[key] = stream;
  return stream;
}

// A stream of a rank or launcher: the ledger knows it.
Result<> ReplicaRun::open_ledgered(ReplicaStream& stream) {
  const std::string& path = stream.description.path;
  store::StreamRecord& record = records_[path];
  const bool is_new = record.writer.empty();
  if (is_new) {
    ledger_.opened(path, stream.writer.name);
    MUSTER_TRY(ledger_.flush());
    record.writer = stream.writer.name;
  }
  MUSTER_TRY_ASSIGN(Fd fd, root_.open_file(path, O_RDWR | O_CREAT));
  struct stat facts {};
  if (::fstat(fd.get(), &facts) != 0) {
    return Failure(system_error(ErrorCode::kRunDirectory, "looking at " + path));
  }
  // What no record knows is nothing of ours.
  if (is_new && facts.st_size > 0 && ::ftruncate(fd.get(), 0) != 0) {
    return Failure(system_error(ErrorCode::kRunDirectory, "cutting " + path));
  }
  const auto size = is_new ? 0 : static_cast<std::uint64_t>(facts.st_size);
  stream.stored_at = path;
  stream.file = store::AppendFile(std::move(fd), (directory_.root() / path).string(), size);
  stream.gaps = record.gaps;
  const auto certain = durable_.streams.find(path);
  if (certain != durable_.streams.end()) stream.durable = std::min(size, certain->second);
  stream.new_name = stream.durable == 0;
  stream.dirty = stream.new_name || stream.durable < size;
  stream.ended = record.end && record.end->length == size;
  stream.end_durable = stream.ended && stream.durable == size;
  return {};
}

// What appears by rename is written beside its place first.
Result<> ReplicaRun::open_staged(ReplicaStream& stream) {
  const std::string key = key_of(stream.writer, stream.description);
  if (!stream.is_file() && records_[stream.description.path].writer.empty()) {
    ledger_.opened(stream.description.path, stream.writer.name);
    records_[stream.description.path].writer = stream.writer.name;
  }
  const std::string name = incoming_name(key, stream.description);
  std::string& there = incoming_[incoming_prefix(key)];
  // An earlier generation that never became complete.
  if (!there.empty() && there != name) MUSTER_TRY(root_.remove(std::string(kIncoming) + there));
  there = name;
  stream.stored_at = std::string(kIncoming) + name;
  MUSTER_TRY_ASSIGN(Fd fd, root_.open_file(stream.stored_at, O_RDWR | O_CREAT));
  struct stat facts {};
  if (::fstat(fd.get(), &facts) != 0) {
    return Failure(system_error(ErrorCode::kRunDirectory, "looking at " + stream.stored_at));
  }
  stream.file =
      store::AppendFile(std::move(fd), (directory_.root() / stream.description.path).string(),
                        static_cast<std::uint64_t>(facts.st_size));
  stream.new_name = true;
  stream.dirty = true;
  return {};
}

// An append-only file of the output folders keeps its inode while it grows: viewers follow that.
Result<> ReplicaRun::open_growing_file(ReplicaStream& stream) {
  const auto owned = name_of(stream.writer.name, stream.description.path);
  bool goes_on = false;
  if (owned) {
    const store::FileState& state = files_[*owned];
    goes_on = state.stored->form == store::FileForm::kAppend && !state.copy_gone &&
              state.stored->generation == stream.description.generation;
    // Another content: a new file under the old name.
    if (!goes_on && !state.copy_gone) {
      MUSTER_TRY(root_.remove(*owned));
      durable_.streams.erase(*owned);
    }
  }
  MUSTER_TRY_ASSIGN(stream.stored_at, claim_name(stream.writer, stream.description));
  MUSTER_TRY(clear_way(stream.writer, stream.stored_at, false));
  if (!goes_on) {
    record_entry(stream, stream.stored_at, 0, "");
    MUSTER_TRY(manifest_.flush());
  }
  MUSTER_TRY_ASSIGN(Fd fd, root_.open_file(stream.stored_at, O_RDWR | O_CREAT));
  struct stat facts {};
  if (::fstat(fd.get(), &facts) != 0 || (!goes_on && ::ftruncate(fd.get(), 0) != 0)) {
    return Failure(system_error(ErrorCode::kRunDirectory, "opening " + stream.stored_at));
  }
  const auto size = goes_on ? static_cast<std::uint64_t>(facts.st_size) : 0;
  stream.file =
      store::AppendFile(std::move(fd), (directory_.root() / stream.stored_at).string(), size);
  const auto certain = durable_.streams.find(stream.stored_at);
  if (certain != durable_.streams.end()) stream.durable = std::min(size, certain->second);
  stream.new_name = true;
  stream.dirty = true;
  return {};
}

// Whether this very content of a file is stored already.
bool ReplicaRun::is_there(const ReplicaStream& stream) {
  if (!stream.is_file() || !stream.description.whole) return false;
  const auto owned = name_of(stream.writer.name, stream.description.path);
  if (!owned) return false;
  const store::FileEntry& entry = *files_[*owned].stored;
  return entry.generation >= stream.description.generation &&
         entry.mtime_ns >= stream.description.mtime_ns && !files_[*owned].deleted &&
         entry.size == stream.description.size_hint && entry.form != store::FileForm::kAppend;
}

}  // namespace muster::replication
