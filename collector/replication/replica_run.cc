#include "collector/replication/replica_run.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <fcntl.h>
#include <filesystem>
#include <sys/stat.h>
#include <unistd.h>

#include <nlohmann/json.hpp>

#include "base/files.h"
#include "base/text.h"
#include "collector/store/digest.h"
#include "collector/store/line_log.h"
#include "collector/store/stream_kind.h"

namespace muster::replication {

namespace fs = std::filesystem;
using Json = nlohmann::ordered_json;
using store::Gap;

namespace {

constexpr std::string_view kIncoming = ".muster/incoming/";

Failure refused(const std::string& path, const std::string& why) {
  return fail(ErrorCode::kPermission, "`" + without_controls(path) + "` is not taken: " + why);
}

// A name of the output folders may be several writers'; any other stream is one writer's.
std::string key_of(const store::Writer& writer, const StreamDescription& description) {
  if (description.kind != store::StreamKind::kFile) return description.path;
  return description.path + '\0' + writer.name;
}

std::string incoming_prefix(const std::string& key) {
  return store::digest_of(key).substr(0, 24);
}

// Names the content, so that what is there is resumed only by the same.
std::string incoming_name(const std::string& key, const StreamDescription& description) {
  const std::string content = std::to_string(description.generation) + " " +
                              std::to_string(description.mtime_ns) + " " +
                              std::to_string(description.size_hint);
  return incoming_prefix(key) + "-" + store::digest_of(content).substr(0, 8);
}

// A link is made again only where it leads to something of the same folder of results.
bool stays_inside(const std::string& path, const std::string& target) {
  if (target.empty() || target.front() == '/' || target.size() > store::kLongestPath) return false;
  if (target.find('\0') != std::string::npos) return false;
  const fs::path joined = (fs::path(path).parent_path() / target).lexically_normal();
  return !joined.empty() && *joined.begin() == *fs::path(path).begin();
}

std::optional<std::uint64_t> size_of(const store::SafeRoot& root, const std::string& path) {
  const auto facts = root.look(path);
  if (!facts || !*facts || !S_ISREG((*facts)->st_mode)) return std::nullopt;
  return static_cast<std::uint64_t>((*facts)->st_size);
}

}  // namespace

std::uint64_t ReplicaStream::missing() const {
  store::StreamRecord record;
  record.gaps = gaps;
  return record.missing(file.size());
}

ReplicaRun::ReplicaRun(store::RunDirectory directory, store::SafeRoot root,
                       const ReplicaLimits& limits)
    : directory_(std::move(directory)),
      root_(std::move(root)),
      limits_(limits),
      ledger_(directory_.streams_jsonl()),
      manifest_(directory_.files_jsonl()) {}

Result<std::unique_ptr<ReplicaRun>> ReplicaRun::open(const std::string& directory,
                                                     const ReplicaLimits& limits) {
  store::RunDirectory run(directory);
  std::error_code error;
  if (fs::exists(run.writer_json(), error)) {
    return fail(ErrorCode::kPermission,
                directory + " is a launcher's own run directory, not a copy of one",
                "give the collector a --store of its own");
  }
  for (const char* name : {".muster/incoming", "outputs", "logs", "launcher", "ranks"}) {
    MUSTER_TRY(make_directories(run.root() / name));
  }
  MUSTER_TRY_ASSIGN(store::SafeRoot root, store::SafeRoot::open(directory));
  std::unique_ptr<ReplicaRun> opened(new ReplicaRun(std::move(run), std::move(root), limits));
  MUSTER_TRY(opened->load());
  return opened;
}

Result<> ReplicaRun::load() {
  MUSTER_TRY_ASSIGN(records_, store::read_ledger(directory_.streams_jsonl()));
  MUSTER_TRY_ASSIGN(files_, store::read_manifest(directory_.files_jsonl()));
  if (const auto text = read_regular_file(directory_.receiver_json())) {
    const Json json = Json::parse(*text, nullptr, false);
    const Json* writers = json.is_object() && json.contains("writers") ? &json["writers"] : nullptr;
    if (writers == nullptr || !writers->is_object()) {
      return fail(ErrorCode::kRunDirectory,
                  directory_.receiver_json().string() + " does not say who may write this run");
    }
    for (const auto& [name, epoch] : writers->items()) {
      if (epoch.is_number_unsigned()) epochs_[name] = epoch.get<std::uint64_t>();
    }
  }
  std::error_code error;
  for (const auto& entry : fs::directory_iterator(directory_.root() / kIncoming, error)) {
    const std::string name = entry.path().filename().string();
    incoming_[name.substr(0, name.find('-'))] = name;
  }
  if (limits_.bytes > 0) {
    for (const auto& entry : fs::recursive_directory_iterator(directory_.root(), error)) {
      std::error_code ignored;
      if (entry.is_regular_file(ignored)) bytes_ += entry.file_size(ignored);
    }
  }
  const auto state = store::read_durable_state(directory_);
  if (state) durable_ = *state;
  if (!state || durable_.boot_id.empty() || durable_.boot_id != store::this_boot()) {
    MUSTER_TRY(go_back_after_a_reboot());
  }
  MUSTER_TRY(heal_names());
  // What these files said before we were started is on the disk from here on.
  MUSTER_TRY(ledger_.sync());
  return manifest_.sync();
}

// Only what was durable is certain; the rest may be anything, and comes again.
Result<> ReplicaRun::go_back_after_a_reboot() {
  std::vector<std::string> growing;
  for (const auto& [path, record] : records_) growing.push_back(path);
  for (const auto& [path, state] : files_) {
    if (state.stored && state.stored->form == store::FileForm::kAppend) growing.push_back(path);
  }
  for (const std::string& path : growing) {
    const auto size = size_of(root_, path);
    const auto found = durable_.streams.find(path);
    const std::uint64_t certain = found == durable_.streams.end() ? 0 : found->second;
    if (!size || *size <= certain) continue;
    MUSTER_TRY_ASSIGN(const Fd fd, root_.open_file(path, O_RDWR));
    if (::ftruncate(fd.get(), static_cast<off_t>(certain)) != 0 || ::fsync(fd.get()) != 0) {
      return Failure(system_error(ErrorCode::kRunDirectory, "cutting " + path));
    }
    ledger_.back(path, certain);
  }
  for (const auto& [prefix, name] : incoming_) {
    MUSTER_TRY(root_.remove(std::string(kIncoming) + name));
  }
  incoming_.clear();
  MUSTER_TRY(ledger_.flush());
  MUSTER_TRY_ASSIGN(records_, store::read_ledger(directory_.streams_jsonl()));
  durable_.boot_id = store::this_boot();
  return store::write_durable_state(directory_, durable_);
}

// A file that gave its name to a lower rank's was renamed after that was written down.
Result<> ReplicaRun::heal_names() {
  for (const auto& [path, state] : files_) {
    for (const auto& conflict : state.conflicts) {
      const auto other = files_.find(conflict.path);
      if (state.stored || other == files_.end() || !other->second.stored) continue;
      if (!size_of(root_, conflict.path) && size_of(root_, path)) {
        MUSTER_TRY(root_.rename(path, conflict.path));
      }
    }
  }
  return {};
}

Result<> ReplicaRun::write_receiver() const {
  Json json = {{"writers", Json::object()}};
  for (const auto& [name, epoch] : epochs_) json["writers"][name] = epoch;
  MUSTER_TRY(replace_file(directory_.receiver_json(),
                          json.dump(2, ' ', false, Json::error_handler_t::replace) + "\n", true));
  return root_.sync_folder_of(".muster/receiver.json");
}

Result<> ReplicaRun::admit(const store::Writer& writer) {
  const auto known = epochs_.find(writer.name);
  if (known != epochs_.end() && writer.epoch < known->second) {
    return fail(ErrorCode::kPermission, "superseded: a newer start of " +
                                            without_controls(writer.name) + " writes run " +
                                            without_controls(writer.run_id));
  }
  if (known != epochs_.end() && writer.epoch == known->second) return {};
  const auto before = epochs_;
  epochs_[writer.name] = writer.epoch;
  auto written = write_receiver();
  if (!written) epochs_ = before;
  return written;
}

void ReplicaRun::attach() {
  if (attached_++ == 0) lock_ = directory_.lock();
}

void ReplicaRun::detach() {
  if (attached_ > 0 && --attached_ == 0) lock_.reset();
}

Result<> ReplicaRun::check_quota(std::uint64_t more) {
  if (limits_.bytes == 0) return {};
  if (bytes_ + more > limits_.bytes) {
    return fail(ErrorCode::kPermission,
                "the run has more than the " + format_bytes(limits_.bytes) + " that it may store");
  }
  bytes_ += more;
  return {};
}

Result<> ReplicaRun::need_file(ReplicaStream& stream) {
  if (stream.file.is_open()) return {};
  MUSTER_TRY_ASSIGN(Fd fd, root_.open_file(stream.stored_at, O_RDWR));
  stream.file.set_fd(std::move(fd));
  return {};
}

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
    const store::FileEntry& entry = *files_[*owned].stored;
    goes_on =
        entry.form == store::FileForm::kAppend && entry.generation == stream.description.generation;
    // Another content: a new file under the old name.
    if (!goes_on) {
      MUSTER_TRY(root_.remove(*owned));
      durable_.streams.erase(*owned);
    }
  }
  MUSTER_TRY_ASSIGN(stream.stored_at, claim_name(stream.writer, stream.description));
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

// Where that writer's file of this name is.
std::optional<std::string> ReplicaRun::name_of(const std::string& writer,
                                               const std::string& path) const {
  const auto found = files_.find(path);
  if (found == files_.end()) return std::nullopt;
  const auto is_his = [&](const store::FileState& state) {
    return state.stored && state.stored->writer == writer;
  };
  if (is_his(found->second)) return path;
  for (const auto& conflict : found->second.conflicts) {
    const auto other = files_.find(conflict.path);
    if (other != files_.end() && is_his(other->second)) return conflict.path;
  }
  return std::nullopt;
}

// The lowest rank's file keeps its name, whatever came first; the others get `.rank-N`.
Result<std::string> ReplicaRun::claim_name(const store::Writer& writer,
                                           const StreamDescription& description) {
  const std::string& path = description.path;
  if (const auto owned = name_of(writer.name, path)) return *owned;
  store::FileState& state = files_[path];
  if (!state.stored) return path;
  const store::FileEntry holder = *state.stored;
  const bool is_ours =
      std::pair(description.owner_rank, writer.name) < std::pair(holder.owner_rank, holder.writer);
  const int moves = is_ours ? holder.owner_rank : description.owner_rank;
  const std::string other = path + ".rank-" + std::to_string(moves);
  const auto taken = files_.find(other);
  if (store::why_unsafe(other) || (taken != files_.end() && taken->second.stored)) {
    return refused(path, "another writer's file has that name, and `" + without_controls(other) +
                             "` cannot be had either");
  }
  const store::FileState::Conflict conflict{other,
                                            is_ours ? description.owner_rank : holder.owner_rank};
  state.conflicts.push_back(conflict);
  if (!is_ours) {
    manifest_.conflict(path, conflict);
    MUSTER_TRY(manifest_.flush());
    return other;
  }
  manifest_.moved(path, conflict);
  MUSTER_TRY(manifest_.flush());
  files_[other].stored = holder;
  files_[other].stored->path = other;
  files_[path].stored.reset();
  MUSTER_TRY(root_.rename(path, other));
  if (const auto certain = durable_.streams.extract(path)) {
    durable_.streams[other] = certain.mapped();
  }
  for (auto& [key, stream] : streams_) {
    if (stream->stored_at == path) stream->stored_at = other;
  }
  return path;
}

void ReplicaRun::record_entry(const ReplicaStream& stream, const std::string& path,
                              std::uint64_t size, const std::string& digest) {
  store::FileEntry entry;
  entry.path = path;
  entry.generation = stream.description.generation;
  entry.size = size;
  entry.xxh3 = digest;
  entry.mtime_ns = stream.description.mtime_ns;
  entry.mode = stream.description.mode & 0777;
  entry.form = !stream.description.link_target.empty() ? store::FileForm::kSymlink
               : stream.description.whole              ? store::FileForm::kWhole
                                                       : store::FileForm::kAppend;
  entry.owner_rank = stream.description.owner_rank;
  entry.target = stream.description.link_target;
  entry.writer = stream.writer.name;
  manifest_.stored(entry);
  store::FileState& state = files_[path];
  state.stored = entry;
  state.deleted = false;
}

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
  static_cast<void>(root_.remove(stream.stored_at));
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
    // A folder, a link: somebody else's file is in the way.
    const auto facts = root_.look(stream.description.path);
    if (!facts || (*facts && S_ISDIR((*facts)->st_mode))) {
      refuse(stream, "its name is taken by a folder");
      return refused(stream.description.path, "its name is taken by a folder");
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

Result<> ReplicaRun::give_name(ReplicaStream& stream) {
  const StreamDescription& description = stream.description;
  // A newer generation of it has come meanwhile.
  if (!size_of(root_, stream.stored_at)) {
    stream.commit = stream.dirty = false;
    return {};
  }
  const auto done = [&](const std::string& at) {
    incoming_.erase(incoming_prefix(key_of(stream.writer, description)));
    stream.stored_at = at;
    stream.commit = false;
    stream.ended = true;
    stream.dirty = false;
    stream.file.set_fd(Fd());
  };
  if (!stream.is_file()) {
    MUSTER_TRY(root_.rename(stream.stored_at, description.path));
    done(description.path);
    return {};
  }
  const auto holder = files_.find(description.path);
  const bool is_same = holder != files_.end() && holder->second.stored &&
                       holder->second.stored->writer != stream.writer.name &&
                       holder->second.stored->form == store::FileForm::kWhole &&
                       description.link_target.empty() &&
                       holder->second.stored->size == stream.file.size() &&
                       holder->second.stored->xxh3 == stream.digest &&
                       !name_of(stream.writer.name, description.path);
  // Two writers of the same bytes: one copy, the lower rank's.
  if (is_same) {
    MUSTER_TRY(root_.remove(stream.stored_at));
    if (description.owner_rank < holder->second.stored->owner_rank) {
      record_entry(stream, description.path, stream.file.size(), stream.digest);
    }
    done(description.path);
    return {};
  }
  MUSTER_TRY_ASSIGN(const std::string name, claim_name(stream.writer, description));
  MUSTER_TRY_ASSIGN(const auto in_the_way, root_.look(name));
  if (in_the_way && S_ISDIR(in_the_way->st_mode)) {
    return refused(name, "its name is taken by a folder");
  }
  if (!description.link_target.empty()) {
    MUSTER_TRY(root_.remove(stream.stored_at));
    if (stays_inside(name, description.link_target)) {
      const std::string staged = stream.stored_at + ".link";
      MUSTER_TRY(root_.remove(staged));
      MUSTER_TRY(root_.make_link(description.link_target, staged));
      MUSTER_TRY(root_.rename(staged, name));
    }
  } else {
    MUSTER_TRY(need_file(stream));
    ::fchmod(stream.file.fd().get(), description.mode & 0777);
    const std::array<timespec, 2> times = {
        timespec{0, UTIME_OMIT},
        timespec{description.mtime_ns / 1'000'000'000, description.mtime_ns % 1'000'000'000}};
    if (description.mtime_ns > 0) ::futimens(stream.file.fd().get(), times.data());
    MUSTER_TRY(root_.rename(stream.stored_at, name));
  }
  record_entry(stream, name, stream.file.size(), stream.digest);
  done(name);
  return manifest_.flush();
}

Result<> ReplicaRun::tombstone(const store::Writer& writer, const std::string& path) {
  if (const auto why = store::why_unsafe(path)) return refused(path, *why);
  const auto owned = name_of(writer.name, path);
  if (!owned) return {};
  files_[*owned].deleted = true;
  manifest_.deleted(*owned);
  return manifest_.flush();
}

void ReplicaRun::clock(const store::Writer& writer, const ClockOffset& offset) {
  const Json json = {{"writer", writer.name},
                     {"node", writer.node},
                     {"offset_ns", offset.offset_ns},
                     {"round_trip_ns", offset.round_trip_ns},
                     {"at", format_utc(std::chrono::system_clock::now())}};
  store::LineLog(directory_.clock_jsonl())
      .add(json.dump(-1, ' ', false, Json::error_handler_t::replace));
}

Result<> ReplicaRun::flush_records() {
  MUSTER_TRY(ledger_.flush());
  return manifest_.flush();
}

}  // namespace muster::replication
