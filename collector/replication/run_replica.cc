#include "collector/replication/run_replica.h"

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <fcntl.h>
#include <map>
#include <set>
#include <sys/file.h>
#include <sys/statvfs.h>
#include <unistd.h>
#include <vector>

#include "base/files.h"
#include "base/text.h"
#include "collector/store/background.h"

namespace muster::replication {

namespace fs = std::filesystem;

namespace {

using Clock = std::chrono::steady_clock;
using StreamPtr = std::shared_ptr<ReplicaStream>;

// More dirty files than this, and the whole file system is synced at once: the same price for 33
// ranks and for 1,000.
constexpr std::size_t kSyncedOneByOne = 32;
// A full disk has room again when this much of it is free: no flutter at its edge.
constexpr std::uint64_t kFreePercent = 2;
constexpr auto kLookForRoom = std::chrono::milliseconds(200);
constexpr auto kQuotaPause = std::chrono::seconds(5);  // a quota does not say what is free

Failure unknown_handle() {
  return fail(ErrorCode::kInternal, "a stream that is not open");
}

Result<> sync_path(const fs::path& path, bool folder) {
  const Fd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC | (folder ? O_DIRECTORY : 0)));
  if (!fd && errno == ENOENT) return {};
  if (!fd || (folder ? ::fsync(fd.get()) : ::fdatasync(fd.get())) != 0) {
    if (errno == EINVAL || errno == ENOTSUP) return {};  // a file system that has no such thing
    return Failure(system_error(ErrorCode::kRunDirectory, "syncing " + path.string()));
  }
  return {};
}

// What one sync() makes durable: as it was when it was asked for.
struct SyncItem {
  std::string run;
  StreamPtr stream;
  std::uint64_t size = 0;
  std::uint32_t restarts = 0;
  bool ended = false;
  bool commit = false;
  std::string refused;  // it cannot have its name
  Fd fd;                // a duplicate; the stream's own may be given up meanwhile
};

struct SyncRun {
  store::RunDirectory directory;
  store::DurableState durable;
  std::set<fs::path> folders;
  bool is_own = false;
};

struct SyncJob {
  std::vector<SyncItem> items;
  std::vector<Fd> whole;      // instead of single files: their file systems
  std::vector<SyncRun> runs;  // filled between the two halves
  Result<> result;
};

}  // namespace

struct RunReplica::State {
  fs::path directory;
  RunReplicaOptions options;
  std::string own_run;  // the only one that is taken; "": every run
  Fd lock;
  std::map<std::string, std::unique_ptr<ReplicaRun>> runs;
  struct Open {
    std::string run;
    StreamPtr stream;
  };
  std::map<Handle, Open> handles;
  Handle last_handle = 0;
  std::uint64_t uses = 0;
  std::map<std::uint64_t, StreamPtr> with_descriptor;  // by last use

  mutable bool full = false;
  mutable bool by_quota = false;
  mutable Clock::time_point full_looked;

  bool syncing = false;
  store::Background background;  // the last: what it runs uses the rest

  Result<ReplicaRun*> run_of(const std::string& run_id);
  store::OutputNames::Lock hold_names();
  Open* find(Handle handle);
  Result<> need_file(Open& open);
  void look_for_room();
  void note(const store::AppendFile& file);
  void drop_idle(const std::string& run_id);
  Result<> put(Handle handle, std::uint64_t offset, std::uint64_t count,
               const std::function<Result<>(store::AppendFile&)>& write);

  void start_sync(SyncJob& job);
  void do_files(SyncJob& job) const;
  void give_names(SyncJob& job);
  static void do_records(SyncJob& job);
  Result<std::vector<DurableMark>> end_sync(SyncJob& job);
  void go_back(SyncJob& job);
};

RunReplica::RunReplica(std::unique_ptr<State> state) : state_(std::move(state)) {}

RunReplica::~RunReplica() = default;

Result<std::unique_ptr<RunReplica>> RunReplica::open(const fs::path& directory,
                                                     RunReplicaOptions options) {
  MUSTER_TRY(make_directories(directory));
  auto state = std::make_unique<State>();
  state->directory = directory;
  state->options = std::move(options);
  if (!state->options.sync_file) state->options.sync_file = [](int fd) { return ::fdatasync(fd); };
  state->lock.reset(::open(directory.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!state->lock) {
    return Failure(system_error(ErrorCode::kRunDirectory, "opening " + directory.string()));
  }
  // Where the file system has no locks, nobody can be told from us.
  if (::flock(state->lock.get(), LOCK_EX | LOCK_NB) != 0 && errno == EWOULDBLOCK) {
    return fail(ErrorCode::kRunDirectory, "another collector stores in " + directory.string(),
                "give each collector a --store of its own");
  }
  return std::unique_ptr<RunReplica>(new RunReplica(std::move(state)));
}

Result<std::unique_ptr<RunReplica>> RunReplica::open_own(const OwnRun& run,
                                                         RunReplicaOptions options) {
  auto state = std::make_unique<State>();
  state->directory = run.directory.parent_path();
  state->options = std::move(options);
  if (!state->options.sync_file) state->options.sync_file = [](int fd) { return ::fdatasync(fd); };
  MUSTER_TRY_ASSIGN(auto opened,
                    ReplicaRun::open_own(run.directory.string(), state->options.limits, run.names));
  state->own_run = run.run_id;
  state->runs.emplace(run.run_id, std::move(opened));
  return std::unique_ptr<RunReplica>(new RunReplica(std::move(state)));
}

Result<> RunReplica::give_up(const std::string& writer) {
  const auto names = state_->hold_names();
  return state_->runs.at(state_->own_run)->give_up(writer);
}

fs::path RunReplica::directory_of(const std::string& run_id) const {
  return state_->directory / run_id;
}

Result<ReplicaRun*> RunReplica::State::run_of(const std::string& run_id) {
  const auto known = runs.find(run_id);
  if (known != runs.end()) return known->second.get();
  if (!own_run.empty()) {
    return fail(ErrorCode::kPermission, "this launcher stores run " + own_run + ", and no other");
  }
  if (store::why_unsafe(run_id) || run_id.find('/') != std::string::npos || run_id.front() == '.') {
    return fail(ErrorCode::kPermission,
                "`" + without_controls(run_id.substr(0, 80)) + "` cannot be a run's id");
  }
  MUSTER_TRY_ASSIGN(auto run, ReplicaRun::open((directory / run_id).string(), options.limits));
  ReplicaRun* opened = run.get();
  runs.emplace(run_id, std::move(run));
  // The folder's own name, before anything in it is called durable.
  MUSTER_TRY(sync_path(directory, true));
  return opened;
}

store::OutputNames::Lock RunReplica::State::hold_names() {
  return own_run.empty() ? store::OutputNames::Lock() : runs.at(own_run)->hold_names();
}

RunReplica::State::Open* RunReplica::State::find(Handle handle) {
  const auto found = handles.find(handle);
  return found == handles.end() ? nullptr : &found->second;
}

// Thousands of streams share a few hundred descriptors.
Result<> RunReplica::State::need_file(Open& open) {
  ReplicaStream& stream = *open.stream;
  const auto held = with_descriptor.find(stream.used);
  if (held != with_descriptor.end() && held->second == open.stream) with_descriptor.erase(held);
  stream.used = ++uses;
  MUSTER_TRY(runs.at(open.run)->need_file(stream));
  with_descriptor[stream.used] = open.stream;
  while (with_descriptor.size() > std::max<std::size_t>(options.limits.open_files, 1)) {
    with_descriptor.begin()->second->file.set_fd(Fd());
    with_descriptor.erase(with_descriptor.begin());
  }
  return {};
}

void RunReplica::State::note(const store::AppendFile& file) {
  if (!store::is_out_of_room(file.error_number())) return;
  full = true;
  by_quota = file.error_number() != ENOSPC;
  full_looked = Clock::now();
}

// Records that did not fit say so by their error's text only; the file system knows better.
void RunReplica::State::look_for_room() {
  struct statvfs space {};
  if (::statvfs(directory.c_str(), &space) != 0 || space.f_bavail > 0) return;
  full = true;
  by_quota = false;
  full_looked = Clock::now();
}

Result<> RunReplica::admit(const store::Writer& writer) {
  const auto run = state_->run_of(writer.run_id);
  const Result<> admitted = run ? (*run)->admit(writer) : Result<>(Failure(run.error()));
  if (!admitted) state_->look_for_room();
  return admitted;
}

void RunReplica::attach(const store::Writer& writer) {
  if (const auto run = state_->run_of(writer.run_id)) (*run)->attach();
}

void RunReplica::detach(const store::Writer& writer) {
  const auto run = state_->runs.find(writer.run_id);
  if (run == state_->runs.end()) return;
  run->second->detach();
  state_->drop_idle(writer.run_id);
}

// A run that nobody sends any more costs no memory; the disk knows it.
void RunReplica::State::drop_idle(const std::string& run_id) {
  if (!own_run.empty()) return;
  const auto run = runs.find(run_id);
  if (run == runs.end() || run->second->is_attached() || syncing) return;
  for (const auto& [key, stream] : run->second->streams()) {
    if (stream->handle != 0 || stream->dirty) return;
  }
  std::erase_if(with_descriptor, [&](const auto& held) {
    const auto& streams = run->second->streams();
    return std::any_of(streams.begin(), streams.end(),
                       [&](const auto& one) { return one.second == held.second; });
  });
  runs.erase(run);
}

Result<OpenedStream> RunReplica::open(const store::Writer& writer,
                                      const StreamDescription& description) {
  MUSTER_TRY_ASSIGN(ReplicaRun* const run, state_->run_of(writer.run_id));
  const auto names = state_->hold_names();
  auto stream = run->open_stream(writer, description);
  if (!stream) {
    state_->look_for_room();
    return Failure(std::move(stream).error());
  }
  OpenedStream opened;
  opened.handle = (*stream)->handle = ++state_->last_handle;
  opened.next = (*stream)->file.size();
  opened.durable = (*stream)->durable;
  opened.complete = (*stream)->end_durable;
  (*stream)->said_durable = opened.durable;
  (*stream)->said_complete = opened.complete;
  state_->handles[opened.handle] = {writer.run_id, *stream};
  if ((*stream)->file.is_open()) {
    MUSTER_TRY(state_->need_file(state_->handles[opened.handle]));
  }
  return opened;
}

Result<> RunReplica::State::put(Handle handle, std::uint64_t offset, std::uint64_t count,
                                const std::function<Result<>(store::AppendFile&)>& write) {
  Open* const open = find(handle);
  if (open == nullptr) return unknown_handle();
  const auto names = hold_names();
  ReplicaStream& stream = *open->stream;
  if (offset != stream.file.size() || stream.ended || stream.commit) {
    return fail(ErrorCode::kRunDirectory, "bytes at " + std::to_string(offset) + " of `" +
                                              without_controls(stream.description.path) +
                                              "`, where " + std::to_string(stream.file.size()) +
                                              " comes next");
  }
  MUSTER_TRY(runs.at(open->run)->check_quota(count));
  MUSTER_TRY(need_file(*open));
  stream.dirty = true;
  auto written = write(stream.file);
  if (!written) note(stream.file);
  return written;
}

Result<> RunReplica::append(Handle stream, std::uint64_t offset, std::string_view bytes) {
  return state_->put(stream, offset, bytes.size(),
                     [&](store::AppendFile& file) { return file.append(bytes); });
}

Result<> RunReplica::append_zeros(Handle stream, std::uint64_t offset, std::uint64_t count) {
  return state_->put(stream, offset, 0,
                     [&](store::AppendFile& file) { return file.append_zeros(count); });
}

Result<> RunReplica::add_gap(Handle handle, const StreamGap& gap) {
  State::Open* const open = state_->find(handle);
  if (open == nullptr) return unknown_handle();
  const auto names = state_->hold_names();
  return state_->runs.at(open->run)->add_gap(*open->stream, gap);
}

Result<> RunReplica::finish(Handle handle, const StreamEnd& end) {
  State::Open* const open = state_->find(handle);
  if (open == nullptr) return unknown_handle();
  const auto names = state_->hold_names();
  return state_->runs.at(open->run)->finish(*open->stream, end);
}

Result<> RunReplica::tombstone(const store::Writer& writer, const std::string& path) {
  MUSTER_TRY_ASSIGN(ReplicaRun* const run, state_->run_of(writer.run_id));
  const auto names = state_->hold_names();
  return run->tombstone(writer, path);
}

void RunReplica::clock(const store::Writer& writer, const ClockOffset& offset) {
  if (const auto run = state_->run_of(writer.run_id)) (*run)->clock(writer, offset);
}

void RunReplica::close(Handle handle) {
  const auto found = state_->handles.find(handle);
  if (found == state_->handles.end()) return;
  const std::string run = found->second.run;
  ReplicaStream& stream = *found->second.stream;
  if (stream.handle == handle) stream.handle = 0;
  const auto held = state_->with_descriptor.find(stream.used);
  if (held != state_->with_descriptor.end() && held->second == found->second.stream) {
    state_->with_descriptor.erase(held);
    stream.file.set_fd(Fd());
  }
  state_->handles.erase(found);
  state_->drop_idle(run);
}

bool RunReplica::is_full() const {
  if (!state_->full) return false;
  const auto now = Clock::now();
  if (now - state_->full_looked < kLookForRoom) return true;
  if (state_->by_quota) {
    state_->full = now - state_->full_looked < kQuotaPause;
    return state_->full;
  }
  state_->full_looked = now;
  struct statvfs space {};
  if (::statvfs(state_->directory.c_str(), &space) != 0) return true;
  const std::uint64_t least = std::max<std::uint64_t>(space.f_blocks * kFreePercent / 100, 1);
  state_->full = space.f_bavail < least;
  return state_->full;
}

void RunReplica::State::start_sync(SyncJob& job) {
  const auto names = hold_names();
  for (const auto& [run_id, run] : runs) {
    const std::size_t before = job.items.size();
    for (const auto& [key, stream] : run->streams()) {
      if (!stream->dirty) continue;
      SyncItem item;
      item.run = run_id;
      item.stream = stream;
      item.size = stream->file.size();
      item.restarts = stream->restarts;
      item.ended = stream->ended;
      item.commit = stream->commit;
      job.items.push_back(std::move(item));
      stream->dirty = false;
    }
    if (job.items.size() > before) job.whole.emplace_back(::dup(run->root().fd().get()));
  }
  if (job.items.size() > kSyncedOneByOne) return;
  job.whole.clear();
  for (SyncItem& item : job.items) {
    if (item.stream->stored_at.empty()) continue;
    if (auto opened = runs.at(item.run)->need_file(*item.stream); !opened) {
      job.result = std::move(opened);
      return;
    }
    item.fd.reset(::fcntl(item.stream->file.fd().get(), F_DUPFD_CLOEXEC, 0));
    // Opened for this only.
    if (!with_descriptor.contains(item.stream->used) ||
        with_descriptor.at(item.stream->used) != item.stream) {
      item.stream->file.set_fd(Fd());
    }
  }
}

void RunReplica::State::do_files(SyncJob& job) const {
  if (!job.result) return;
  for (const Fd& root : job.whole) {
    if (::syncfs(root.get()) != 0) {
      job.result = Failure(system_error(ErrorCode::kRunDirectory, "syncing the store"));
      return;
    }
  }
  if (!job.whole.empty()) return;
  for (const SyncItem& item : job.items) {
    if (!item.fd || options.sync_file(item.fd.get()) == 0) continue;
    job.result =
        Failure(system_error(ErrorCode::kRunDirectory, "syncing " + item.stream->file.name()));
    return;
  }
}

// Between the two halves, on the receiver's thread: what is on the disk by now becomes visible and
// is written down.
void RunReplica::State::give_names(SyncJob& job) {
  if (!job.result) return;
  const auto names = hold_names();
  std::map<std::string, std::set<fs::path>> folders;
  for (SyncItem& item : job.items) {
    ReplicaRun& run = *runs.at(item.run);
    ReplicaStream& stream = *item.stream;
    if (item.restarts != stream.restarts) continue;
    folders[item.run];
    if (item.commit) {
      auto named = run.give_name(stream);
      // One file's name is no reason to send the others again.
      if (!named && named.error().code == ErrorCode::kPermission) {
        item.refused = named.error().message;
        run.refuse(stream, item.refused);
        continue;
      }
      if (!named) {
        job.result = std::move(named);
        return;
      }
      item.ended = stream.ended;
    } else if (!stream.is_staged()) {
      std::uint64_t& certain = run.durable().streams[stream.stored_at];
      certain = std::max(certain, item.size);
    }
    if (stream.new_name || item.commit) {
      fs::path folder = (run.directory().root() / stream.stored_at).parent_path();
      // A folder's own name is in the folder above it.
      for (; folder != run.directory().root() && !folder.empty(); folder = folder.parent_path()) {
        if (!folders[item.run].insert(folder).second) break;
      }
      folders[item.run].insert(run.directory().root());
      stream.new_name = false;
    }
  }
  for (const auto& [run_id, run] : runs) {
    if (auto flushed = run->flush_records(); !flushed) {
      job.result = std::move(flushed);
      return;
    }
    job.runs.push_back(
        {run->directory(), run->durable(), std::move(folders[run_id]), run->is_own()});
  }
}

void RunReplica::State::do_records(SyncJob& job) {
  const auto all = [&]() -> Result<> {
    for (const SyncRun& run : job.runs) {
      for (const fs::path& folder : run.folders) MUSTER_TRY(sync_path(folder, true));
      MUSTER_TRY(sync_path(run.directory.streams_jsonl(), false));
      MUSTER_TRY(sync_path(run.directory.files_jsonl(), false));
      // Of a launcher's own directory its group sync says what is certain, for all writers.
      if (!run.is_own) MUSTER_TRY(store::write_durable_state(run.directory, run.durable));
    }
    return {};
  };
  if (job.result) job.result = all();
}

// After an error nobody can say what is on the disk: only what was durable before.
void RunReplica::State::go_back(SyncJob& job) {
  for (SyncItem& item : job.items) {
    if (item.restarts != item.stream->restarts) continue;
    ReplicaStream& stream = *item.stream;
    if (stream.is_staged() && stream.ended) {
      stream.dirty = true;  // it has its name; that is made durable once more
      continue;
    }
    stream.file.set_fd(Fd());
    // A file that somebody removed is made anew when the stream is opened again.
    if (!runs.at(item.run)->go_back(stream, stream.durable)) runs.at(item.run)->forget(stream);
  }
}

Result<std::vector<DurableMark>> RunReplica::State::end_sync(SyncJob& job) {
  const auto names = hold_names();
  if (!job.result) {
    go_back(job);
    return Failure(job.result.error());
  }
  std::vector<DurableMark> marks;
  for (SyncItem& item : job.items) {
    ReplicaStream& stream = *item.stream;
    if (!item.refused.empty() && stream.handle != 0) {
      marks.push_back({stream.handle, 0, false, std::move(item.refused)});
    }
    if (item.restarts != stream.restarts) continue;
    stream.durable = std::max(stream.durable, item.size);
    stream.end_durable = stream.end_durable || item.ended;
    if (stream.handle == 0) continue;
    if (stream.durable == stream.said_durable && stream.end_durable == stream.said_complete) {
      continue;
    }
    stream.said_durable = stream.durable;
    stream.said_complete = stream.end_durable;
    marks.push_back({stream.handle, stream.durable, stream.end_durable, {}});
  }
  return marks;
}

void RunReplica::sync(std::function<void(Result<std::vector<DurableMark>>)> done) {
  auto job = std::make_shared<SyncJob>();
  State* const state = state_.get();
  state->start_sync(*job);
  state->syncing = true;
  const auto finish = [state, job, done = std::move(done)] {
    state->syncing = false;
    auto result = state->end_sync(*job);
    std::vector<std::string> idle;
    for (const auto& [run_id, run] : state->runs) idle.push_back(run_id);
    for (const std::string& run_id : idle) state->drop_idle(run_id);
    done(std::move(result));
  };
  state->background.submit([state, job] { state->do_files(*job); },
                           [state, job, finish] {
                             state->give_names(*job);
                             state->background.submit([job] { State::do_records(*job); }, finish);
                           });
}

int RunReplica::finished_fd() const {
  return state_->background.fd();
}

void RunReplica::run_finished() {
  state_->background.run_finished();
}

void RunReplica::settle() {
  while (state_->syncing) state_->background.wait();
}

}  // namespace muster::replication
