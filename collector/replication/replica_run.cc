#include "collector/replication/replica_run.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>

#include <nlohmann/json.hpp>

#include "base/files.h"
#include "base/text.h"
#include "collector/replication/replica_names.h"
#include "collector/store/line_log.h"

namespace muster::replication {

namespace fs = std::filesystem;
using Json = nlohmann::ordered_json;

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

Result<std::unique_ptr<ReplicaRun>> ReplicaRun::open_own(
    const std::string& directory, const ReplicaLimits& limits,
    std::shared_ptr<store::OutputNames> names) {
  store::RunDirectory run(directory);
  for (const char* name : {".muster/incoming", "outputs", "logs", "launcher", "ranks"}) {
    MUSTER_TRY(make_directories(run.root() / name));
  }
  MUSTER_TRY_ASSIGN(store::SafeRoot root, store::SafeRoot::open(directory));
  std::unique_ptr<ReplicaRun> opened(new ReplicaRun(std::move(run), std::move(root), limits));
  opened->names_ = std::move(names);
  return opened;
}

store::OutputNames::Lock ReplicaRun::hold_names() {
  if (!names_) return {};
  auto held = names_->lock();
  for (const auto& [from, to] : names_->take_moved()) {
    store::FileState& state = files_[from];
    files_[to].stored = std::move(state.stored);
    if (files_[to].stored) files_[to].stored->path = to;
    state.stored.reset();
    state.conflicts.push_back({to, 0});
    for (auto& [key, stream] : streams_) {
      if (stream->stored_at == from) stream->stored_at = to;
    }
  }
  return held;
}

// Whether the launcher that owns the directory has a file there.
bool ReplicaRun::is_owners(const std::string& path) const {
  if (!names_) return false;
  if (names_->is_own(path)) return true;
  // Its ranks may write there themselves.
  const auto known = files_.find(path);
  if (known != files_.end() && known->second.stored && !known->second.copy_gone) return false;
  const auto there = root_.look(path);
  return there && *there && !S_ISDIR((*there)->st_mode);
}

// What the owner writes itself.
Result<> ReplicaRun::refuse_own(const StreamDescription& description) {
  if (!names_) return {};
  const std::string& path = description.path;
  const bool is_the_runs = description.kind == store::StreamKind::kControl ||
                           description.kind == store::StreamKind::kEvents || path == "mpirun.log";
  if (is_the_runs) return refused(path, "the head of the run writes it");
  if (description.kind == store::StreamKind::kFile) return {};
  const auto record = records_.find(path);
  if (record != records_.end() && !record->second.writer.empty()) return {};
  const auto size = size_of(root_, path);
  if (!size || *size == 0) return {};
  return refused(path, "the launcher that stores this run has such a stream itself");
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
  if (given_up_.contains(writer.name)) {
    return fail(ErrorCode::kPermission,
                "superseded: the run has ended without " + without_controls(writer.name));
  }
  const auto known = epochs_.find(writer.name);
  if (known != epochs_.end() && writer.epoch < known->second) {
    return fail(ErrorCode::kPermission, "superseded: a newer start of " +
                                            without_controls(writer.name) + " writes run " +
                                            without_controls(writer.run_id));
  }
  if (known != epochs_.end() && writer.epoch == known->second) return {};
  const auto before = epochs_;
  epochs_[writer.name] = writer.epoch;
  if (names_) return {};
  auto written = write_receiver();
  if (!written) epochs_ = before;
  return written;
}

void ReplicaRun::attach() {
  if (attached_++ == 0 && !names_) lock_ = directory_.lock();
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
