// requested → (helper runs) → in the mount table → further words (read-only) → flags read back →
// first read by a process of its own → ready.
//
// An exit status is believed only when it says that something failed; that something worked says
// the table.  Paths below the mount point are never touched by this process.
#include "launcher/data/mount.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <cstring>

#include "base/files.h"
#include "base/preparation.h"
#include "base/text.h"
#include "launcher/data/first_read.h"
#include "launcher/data/remote_look.h"
#include "launcher/data/transfer_rclone.h"

namespace muster::data {
namespace {

namespace fs = std::filesystem;
using namespace std::chrono_literals;
using plan::DataMeans;

// A daemon may have its mount in the table a moment after its parent has ended.
constexpr auto kDaemonPatience = 5s;
constexpr auto kReadInterval = 3s;
constexpr auto kSilentAfter = 5s;
constexpr auto kUnmountAgain = 300ms;  // while a process of the run still has a file open
constexpr auto kHelperPatience = 2s;   // between the end of its mount, SIGTERM and SIGKILL

bool is_local(DataMeans means) {
  return means == DataMeans::kBind;
}

bool type_fits(DataMeans means, const std::string& type) {
  if (means == DataMeans::kRclone) return type.starts_with("fuse");
  if (means == DataMeans::kNfs) return type.starts_with("nfs");
  return true;
}

// rclone notes beside each file that it keeps whether that is to be uploaded still.  It writes the
// note in place, so one that is empty or half there says nothing good.
bool is_waiting_for_upload(const fs::path& note) {
  const auto text = read_file(note, 1U << 20);
  return !text || text->find("\"Dirty\": false") == std::string::npos;
}

void kill_hard(const std::vector<pid_t>& pids, int signal_number) {
  for (const pid_t pid : pids) ::kill(pid, signal_number);
}

}  // namespace

fs::path MountedItem::log() const {
  return settings_.log_directory /
         ("mount-" + item_.name + (item_.is_output ? "-output" : "") + ".log");
}

fs::path MountedItem::write_cache() const {
  return settings_.run_directory / ".write-cache" / item_.name;
}

std::string MountedItem::who() const {
  return (item_.is_output ? "output " : "input ") + item_.name;
}

void MountedItem::tell(const std::string& what, const std::string& detail) const {
  if (settings_.on_event) settings_.on_event(what, item_, detail);
}

Error MountedItem::failure(const std::string& what, std::string hint) const {
  Error error{ErrorCode::kData, who() + " on " + settings_.hostname + ": " + what, std::move(hint),
              item_.origin.location};
  const auto said = last_log_lines(log());
  if (!said.empty()) {
    error.message += "; the last words of " +
                     fs::path(item_.helpers.front().argv.front()).filename().string() + ":";
    for (const std::string& line : said) error.message += "\n    " + without_values(line, secrets_);
  }
  return error;
}

Result<> MountedItem::read_credentials() {
  const auto& place = *item_.place;
  for (const std::string& file : {place.config_file, place.environment_file}) {
    if (file.empty()) continue;
    if (::access(file.c_str(), R_OK) != 0) {
      return Failure(failure("cannot read " + file + ": " + std::strerror(errno),
                             "the datastore " + place.datastore + " names it"));
    }
    if (const std::string warning = check_permissions(file); !warning.empty()) {
      settings_.notice("muster: warning: " + warning);
    }
  }
  if (place.environment_file.empty()) return {};
  MUSTER_TRY_ASSIGN(secrets_, read_environment_file(place.environment_file));
  return {};
}

// A directory of our own, or a file for a file to be mounted on.
Result<> MountedItem::make_place() {
  const fs::path point = item_.mount_point;
  if (item_.means == DataMeans::kBind && item_.type == config::DataType::kFile) {
    MUSTER_TRY(make_directories(point.parent_path()));
    MUSTER_TRY_ASSIGN(const Fd file, open_file(point, O_WRONLY | O_CREAT));
    return {};
  }
  MUSTER_TRY(make_directories(point));
  if (item_.is_output && is_local(item_.means)) {
    if (auto made = make_directories(item_.place->path); !made) {
      return Failure(failure(made.error().message));
    }
  }
  return {};
}

Result<> MountedItem::request() {
  requested_ = true;
  tell("requested", item_.place->location);
  MUSTER_TRY(make_place());
  MUSTER_TRY(read_credentials());
  return start_helper();
}

Result<Child> MountedItem::start(const std::vector<std::string>& argv) {
  MUSTER_TRY_ASSIGN(const Fd nothing, open_file("/dev/null", O_RDWR));
  const Fd log_file(::open(log().c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600));
  if (!log_file)
    return Failure(system_error(ErrorCode::kRunDirectory, "opening " + log().string()));
  std::map<std::string, std::string> environment = settings_.environment;
  for (const auto& [name, value] : secrets_) environment[name] = value;
  environment[kHelperVariable] = settings_.data_directory.string() + ":" + item_.name;
  // Older rclones know only the name `fusermount`.
  const fs::path names = settings_.data_directory.parent_path() / "bin";
  std::string& path = environment["PATH"];
  path +=
      (path.empty() ? "" : ":") + std::string("/usr/sbin:/usr/bin:/sbin:/bin:") + names.string();
  ChildSpec spec;
  spec.program = argv.front();
  spec.search_path = path;
  spec.argv = argv;
  for (const auto& [name, value] : environment) spec.environment.push_back(name + "=" + value);
  spec.working_directory = "/";
  spec.stdin_fd = nothing.get();
  spec.stdout_fd = spec.stderr_fd = log_file.get();
  spec.parent_death_signal = SIGTERM;  // rclone then unmounts by itself
  auto child = Child::start(spec);
  if (!child) {
    return Failure(failure("cannot run " + argv.front() + ": " + child.error().describe(spec)));
  }
  return std::move(*child);
}

Result<> MountedItem::start_helper() {
  MUSTER_TRY_ASSIGN(helper_, start(item_.helpers[next_helper_].argv));
  exit_seen_ = false;
  tell("started", join(item_.helpers[next_helper_].argv, " "));
  ++next_helper_;
  return {};
}

// Whether the helper that runs now has ended badly.
Result<> MountedItem::look_at_helper() {
  if (exit_seen_ || !helper_) return {};
  const auto end = helper_.try_reap();
  if (!end) return {};
  exit_seen_ = true;
  helper_ended_ = Clock::now();
  helper_ = Child();
  if (!end->status.ok()) {
    return Failure(
        failure("cannot be mounted from " + item_.place->location + ": " +
                    fs::path(item_.helpers[next_helper_ - 1].argv.front()).filename().string() +
                    " " + end->status.describe(),
                is_perhaps_a_file() ? "if it is one file, write `type: file`" : ""));
  }
  daemonised_ = daemonised_ || item_.helpers[next_helper_ - 1].stays;
  return {};
}

// What rclone, mount and others say of a file where they want a folder.
bool MountedItem::is_perhaps_a_file() const {
  if (item_.type == config::DataType::kFile) return false;
  for (const std::string& line : last_log_lines(log())) {
    for (const char* words : {"is a file not a directory", "Not a directory", "not a directory"}) {
      if (line.find(words) != std::string::npos) return true;
    }
  }
  return false;
}

Error MountedItem::nothing_mounted() const {
  return failure("its mount command ended with 0, and nothing is mounted at " + item_.mount_point);
}

Result<> MountedItem::check_table(const Mount& mount) const {
  if (!type_fits(item_.means, mount.type)) {
    return Failure(failure("a file system of type " + mount.type + " is mounted at " +
                           item_.mount_point + ", not what was asked for"));
  }
  struct stat around {};
  const fs::path parent = fs::path(item_.mount_point).parent_path();
  const bool own_device = item_.means == DataMeans::kRclone || item_.means == DataMeans::kNfs;
  if (own_device && ::stat(parent.c_str(), &around) == 0 && around.st_dev == mount.device) {
    return Failure(failure(item_.mount_point + " is in the mount table with the device of " +
                           parent.string() + ": nothing is mounted there"));
  }
  if (item_.read_only && !mount.read_only) {
    return Failure(failure("it is mounted, but it could be written to, and read_only is asked for",
                           "put {access} or {options} where the mount command of the datastore " +
                               item_.place->datastore +
                               " takes ro, or set read_only: false for this input"));
  }
  return {};
}

Result<bool> MountedItem::step(const std::vector<Mount>& table) {
  const auto wrong = [this](Error error) {
    failed_ = true;
    return Failure(std::move(error));
  };
  if (auto looked = look_at_helper(); !looked) return wrong(std::move(looked).error());
  const auto mount = mount_at(table, point());
  const bool running = static_cast<bool>(helper_);
  const bool stays = item_.helpers.front().stays;
  switch (state_) {
    case State::kMounting:
      if (!mount) {
        if (running || Clock::now() < helper_ended_ + kDaemonPatience) return false;
        return wrong(nothing_mounted());
      }
      if (running && !stays) return false;
      state_ = State::kAdjusting;
      [[fallthrough]];
    case State::kAdjusting:
      if (!adjuster_ && next_helper_ < item_.helpers.size()) {
        auto child = start(item_.helpers[next_helper_++].argv);
        if (!child) return wrong(std::move(child).error());
        adjuster_ = std::make_unique<Child>(std::move(*child));
        return false;
      }
      if (adjuster_) {
        const auto end = adjuster_->try_reap();
        if (!end) return false;
        adjuster_.reset();
        if (!end->status.ok()) {
          return wrong(failure("cannot be made read-only: mount " + end->status.describe()));
        }
        return false;  // the table that is at hand is from before
      }
      if (!mount) return false;
      if (auto checked = check_table(*mount); !checked) return wrong(std::move(checked).error());
      if (auto started = start_reader(true); !started) return wrong(std::move(started).error());
      state_ = State::kReading;
      return false;
    case State::kReading: {
      const auto end = reader_->try_reap();
      if (!end) return false;
      reader_.reset();
      if (!end->status.ok()) {
        // A helper that was killed is the reason, and can be reaped a moment after its mount broke.
        for (int wait = 0; wait < 20 && helper_; ++wait) {
          detail::pause_briefly();
          if (auto looked = look_at_helper(); !looked) return wrong(std::move(looked).error());
        }
        return wrong(not_read(end->status));
      }
      state_ = State::kReady;
      next_read_ = Clock::now() + kReadInterval;
      tell("ready", mount ? mount->type : "");
      return true;
    }
    case State::kReady: return true;
  }
  return true;
}

Error MountedItem::timed_out() {
  failed_ = true;
  // More time would not help.
  if (state_ == State::kMounting && exit_seen_ && !helper_) return nothing_mounted();
  const std::string after = " within " + format_duration(settings_.mount_timeout);
  const std::string hint = "limits.mount_timeout allows more; the whole log is " + log().string();
  if (state_ == State::kReading) {
    return failure("it is mounted, and did not answer a first read" + after, hint);
  }
  return failure("nothing was mounted from " + item_.place->location + after, hint);
}

// How an empty mount of an input is asked for at its source; none for what may be empty.
std::vector<std::string> MountedItem::remote_words() const {
  if (item_.is_output || item_.means != DataMeans::kRclone) return {};
  const auto& place = *item_.place;
  std::vector<std::string> words{item_.helpers.front().argv.front()};
  if (!place.config_file.empty()) words.insert(words.end(), {"--config", place.config_file});
  const std::vector<std::string> options = options_for_copies(place.options);
  words.insert(words.end(), options.begin(), options.end());
  words.insert(words.end(), {"--ask-password=false", place.location});
  return words;
}

Error MountedItem::not_read(const ExitStatus& status) const {
  if (status.how != ExitStatus::How::kExited) {
    return failure("it is mounted and cannot be read: " + status.describe());
  }
  if (status.value == kNothingThere) {
    return failure("there is nothing at " + item_.place->location + ", only an empty mount",
                   "correct the path; `rclone lsf` lists what is above it");
  }
  return failure("it is mounted and cannot be read: " + std::string(std::strerror(status.value)));
}

Result<> MountedItem::start_reader(bool first) {
  const bool file = !item_.link_target.empty() && item_.type == config::DataType::kFile;
  std::vector<std::string> argv{settings_.reader, kFirstReadWord,
                                file ? item_.link_target : item_.mount_point};
  if (first && !file) {
    const std::vector<std::string> words = remote_words();
    argv.insert(argv.end(), words.begin(), words.end());
  }
  MUSTER_TRY_ASSIGN(Child reader, start(argv));
  reader_ = std::make_unique<Child>(std::move(reader));
  reader_began_ = Clock::now();
  return {};
}

Result<> MountedItem::watch(Clock::time_point now) {
  if (state_ != State::kReady || failed_) return {};
  const auto died = [&](const std::string& how) {
    failed_ = true;
    tell("died", how);
    return Failure(failure(how));
  };
  if (helper_) {
    if (const auto end = helper_.try_reap()) {
      const std::string name = fs::path(item_.helpers.front().argv.front()).filename().string();
      helper_ = Child();
      return died("its mount is gone in the middle of the run: " + name + " " +
                  end->status.describe());
    }
  }
  if (reader_) {
    if (const auto end = reader_->try_reap()) {
      reader_.reset();
      next_read_ = now + kReadInterval;
      const bool lost =
          end->status.how == ExitStatus::How::kExited && end->status.value == ENOTCONN;
      if (lost) {
        return died("its mount is gone in the middle of the run: " +
                    std::string(std::strerror(ENOTCONN)));
      }
      if (silent_) {
        silent_ = false;
        tell("answers");
        settings_.notice("muster: " + who() + " answers again");
      }
    } else if (!silent_ && now - reader_began_ >= kSilentAfter) {
      silent_ = true;
      const std::string helper =
          helper_ ? " (its helper is process " + std::to_string(helper_.pid()) + ")" : "";
      tell("silent", helper);
      settings_.notice("muster: warning: " + who() + " has not answered for " +
                       format_duration(kSilentAfter) + helper +
                       ": ranks that read it wait; the run goes on");
    }
  } else if (now >= next_read_ && !is_local(item_.means)) {
    if (!mount_at(mount_table(), point())) {
      return died("its mount is gone in the middle of the run: somebody unmounted it");
    }
    if (auto started = start_reader(false); !started) next_read_ = now + kReadInterval;
  }
  return {};
}

bool MountedItem::owns(pid_t pid) const {
  return (helper_ && helper_.pid() == pid) || (reader_ && reader_->pid() == pid) ||
         (unmounter_ && unmounter_->pid() == pid) || (adjuster_ && adjuster_->pid() == pid);
}

// Children of this process that a helper left when it went into the background.
std::vector<pid_t> MountedItem::daemons() const {
  std::vector<pid_t> found;
  const std::string mark =
      std::string(kHelperVariable) + "=" + settings_.data_directory.string() + ":" + item_.name;
  for (const pid_t pid : children_of_this_process()) {
    if (owns(pid)) continue;
    const auto environment = read_file("/proc/" + std::to_string(pid) + "/environ", 4U << 20);
    if (!environment) continue;
    const std::vector<std::string> variables = split(*environment, '\0');
    if (std::find(variables.begin(), variables.end(), mark) != variables.end()) {
      found.push_back(pid);
    }
  }
  return found;
}

bool MountedItem::is_mounted(const std::vector<Mount>& table) const {
  return requested_ && mount_at(table, point()).has_value();
}

bool MountedItem::flushed() const {
  if (item_.means != DataMeans::kRclone || item_.read_only) return true;
  if (!helper_) return true;  // nobody is there to wait for
  std::error_code error;
  fs::recursive_directory_iterator notes(write_cache() / "vfsMeta", error);
  for (; !error && notes != fs::recursive_directory_iterator(); notes.increment(error)) {
    if (notes->is_regular_file(error) && is_waiting_for_upload(notes->path())) return false;
  }
  return true;
}

void MountedItem::begin_unmount() {
  next_unmount_ = Clock::now();
}

bool MountedItem::step_unmount(const std::vector<Mount>& table) {
  const auto now = Clock::now();
  if (helper_ && helper_.try_reap()) helper_ = Child();
  if (reader_ && reader_->try_reap()) reader_.reset();
  if (unmounter_ && unmounter_->try_reap()) {
    unmounter_.reset();
    next_unmount_ = now + kUnmountAgain;
  }
  if (is_mounted(table)) {
    if (!unmounter_ && now >= next_unmount_ && !item_.unmount.empty()) {
      if (auto child = start(item_.unmount)) {
        unmounter_ = std::make_unique<Child>(std::move(*child));
      } else {
        next_unmount_ = now + kUnmountAgain;
      }
    }
    return false;
  }
  const std::vector<pid_t> background = daemons();
  for (const pid_t pid : background) {
    if (has_ended(pid)) detail::pause_briefly();
  }
  if (!helper_ && !unmounter_ && background.empty()) {
    if (reader_) reader_->signal(SIGKILL);
    return !reader_;
  }
  // Its mount is gone, so it ends by itself; if not, it is told.
  if (signalled_at_ == Clock::time_point{}) signalled_at_ = now;
  if (now - signalled_at_ < kHelperPatience) return false;
  const int signal_number = signalled_ == 0 ? SIGTERM : SIGKILL;
  signalled_ = signal_number;
  signalled_at_ = now;
  if (helper_) helper_.signal_group(signal_number);
  kill_hard(background, signal_number);
  return false;
}

void MountedItem::give_up() {
  if (!requested_) return;
  static_cast<void>(detach_mounts_below(item_.mount_point));
  const std::vector<pid_t> background = daemons();
  kill_hard(background, SIGKILL);
  // With the server of a FUSE mount gone, whoever waits for it gets an error, and can end.
  if (helper_) helper_.signal_group(SIGKILL);
  for (Child* each : {unmounter_.get(), adjuster_.get()}) {
    if (each != nullptr) each->signal(SIGKILL);
  }
  if (reader_) reader_->signal(SIGKILL);
  const auto deadline = Clock::now() + 1s;
  while (Clock::now() < deadline) {
    if (helper_ && helper_.try_reap()) helper_ = Child();
    if (unmounter_ && unmounter_->try_reap()) unmounter_.reset();
    if (reader_ && reader_->try_reap()) reader_.reset();
    if (adjuster_ && adjuster_->try_reap()) adjuster_.reset();
    if (!helper_ && !unmounter_ && !reader_ && !adjuster_) break;
    detail::pause_briefly();
  }
  // In an uninterruptible sleep: waiting for it would never end.
  static_cast<void>(reader_.release());
  static_cast<void>(unmounter_.release());
  static_cast<void>(adjuster_.release());
  if (helper_) static_cast<void>(new Child(std::move(helper_)));
}

void MountedItem::remove_traces(bool complete) {
  if (!requested_) return;
  const fs::path point = item_.mount_point;
  if (mount_at(mount_table(), this->point())) return;
  if (item_.type == config::DataType::kFile && item_.means == DataMeans::kBind) {
    ::unlink(point.c_str());
    ::rmdir(point.parent_path().c_str());
  } else {
    ::rmdir(point.c_str());
  }
  if (item_.means == DataMeans::kRclone && complete) {
    static_cast<void>(remove_tree(write_cache()));
    ::rmdir(write_cache().parent_path().c_str());
  }
}

}  // namespace muster::data
