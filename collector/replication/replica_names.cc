// Whose a name is, and how a file gets it.

#include "collector/replication/replica_names.h"

#include <fcntl.h>
#include <sys/stat.h>

#include <array>
#include <filesystem>
#include <utility>

#include "base/text.h"
#include "collector/replication/replica_run.h"
#include "collector/store/digest.h"

namespace muster::replication {

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

std::optional<std::uint64_t> size_of(const store::SafeRoot& root, const std::string& path) {
  const auto facts = root.look(path);
  if (!facts || !*facts || !S_ISREG((*facts)->st_mode)) return std::nullopt;
  return static_cast<std::uint64_t>((*facts)->st_size);
}

namespace {

// A link is made again only where it leads to something of the same folder of results.
bool stays_inside(const std::string& path, const std::string& target) {
  if (target.empty() || target.front() == '/' || target.size() > store::kLongestPath) return false;
  if (target.find('\0') != std::string::npos) return false;
  const std::filesystem::path joined =
      (std::filesystem::path(path).parent_path() / target).lexically_normal();
  return !joined.empty() && *joined.begin() == *std::filesystem::path(path).begin();
}

}  // namespace

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
  const bool is_owners_name = is_owners(path);
  store::FileState& state = files_[path];
  if (!is_owners_name && (!state.stored || state.copy_gone)) return path;
  // The launcher whose directory this is has the run's lowest rank.
  const store::FileEntry holder = is_owners_name ? store::FileEntry() : *state.stored;
  const bool is_ours =
      std::pair(description.owner_rank, writer.name) < std::pair(holder.owner_rank, holder.writer);
  const int moves = is_ours ? holder.owner_rank : description.owner_rank;
  const std::string other = path + ".rank-" + std::to_string(moves);
  const auto taken = files_.find(other);
  if (store::why_unsafe(other) || is_owners(other) ||
      (taken != files_.end() && taken->second.stored)) {
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
  if (names_) {
    names_->others_lack(path);
    names_->others_have(other, holder.owner_rank);
  }
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
  if (names_) names_->others_have(path, entry.owner_rank);
  store::FileState& state = files_[path];
  state.stored = entry;
  state.deleted = state.copy_gone = false;
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
  if (names_ && description.link_target.empty() && !name_of(stream.writer.name, description.path) &&
      names_->is_own_content(description.path, stream.file.size(), stream.digest)) {
    MUSTER_TRY(root_.remove(stream.stored_at));
    done(description.path);
    return {};
  }
  const auto holder = files_.find(description.path);
  const bool is_same =
      holder != files_.end() && holder->second.stored && !holder->second.copy_gone &&
      holder->second.stored->writer != stream.writer.name &&
      holder->second.stored->form == store::FileForm::kWhole && description.link_target.empty() &&
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
  MUSTER_TRY(clear_way(stream.writer, name, false));
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

}  // namespace muster::replication
