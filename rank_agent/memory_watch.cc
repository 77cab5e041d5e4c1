#include "rank_agent/memory_watch.h"

#include <unistd.h>

#include <algorithm>
#include <set>
#include <utility>

#include "base/files.h"
#include "base/process.h"
#include "base/text.h"

namespace muster::agent {
namespace {

// The kernel counts a kill, sends the signal, and then logs it: the end may overtake the line.
constexpr int kLogLooks = 10;

// OOM kills of the whole machine, also those at a cgroup's limit.
std::optional<std::uint64_t> machine_kills() {
  const auto text = read_file("/proc/vmstat", 256 * 1024);
  return text ? counter(*text, "oom_kill") : std::nullopt;
}

std::optional<std::set<pid_t>> processes_in(const MemoryCgroup& cgroup) {
  const auto text = read_file(cgroup.directory + "/cgroup.procs", 1 << 20);
  if (!text) return std::nullopt;
  std::set<pid_t> found;
  for (const std::string& line : split(*text, '\n')) {
    if (const auto pid = parse_integer(line)) found.insert(static_cast<pid_t>(*pid));
  }
  return found;
}

// Files that are mounted here under the right name may be those of another cgroup: inside a cgroup
// namespace whose mounts are still the host's.
bool is_cgroup_of(const MemoryCgroup& cgroup, pid_t pid) {
  const auto processes = processes_in(cgroup);
  return !processes || processes->contains(pid);
}

// A number of /proc/PID/stat, counted from the state, which follows the name.
std::int64_t stat_number(pid_t pid, std::size_t place) {
  const auto stat = read_file("/proc/" + std::to_string(pid) + "/stat", 4096);
  const std::size_t after_name = stat ? stat->rfind(") ") : std::string::npos;
  if (after_name == std::string::npos) return 0;
  const auto words = split(std::string_view(*stat).substr(after_name + 2), ' ');
  return words.size() > place ? parse_integer(words[place]).value_or(0) : 0;
}

pid_t parent_of(pid_t pid) {
  return static_cast<pid_t>(stat_number(pid, 1));
}

// Giving back hundreds of GiB takes seconds, in which the process has been killed and is there.
bool is_exiting(pid_t pid) {
  constexpr std::int64_t kExiting = 0x4;  // PF_EXITING of the kernel's flags
  return (stat_number(pid, 6) & kExiting) != 0;
}

void leave_out_descendants(pid_t pid, std::set<pid_t>& processes) {
  for (const pid_t child : children_of(pid)) {
    processes.erase(child);
    leave_out_descendants(child, processes);
  }
}

// The processes that could have been killed as well as a process of this rank.  Those above us
// (mpirun, the launcher, its shell) are in the same cgroup as a rule, and alive.
int sharers_of(const MemoryCgroup& cgroup) {
  auto processes = processes_in(cgroup);
  if (!processes) return 0;
  for (pid_t pid = ::getpid(); pid > 0; pid = parent_of(pid)) processes->erase(pid);
  leave_out_descendants(::getpid(), *processes);
  return static_cast<int>(processes->size());
}

}  // namespace

void MemoryWatch::begin() {
  watch(memory_cgroup("self"));
}

void MemoryWatch::began() {
  machine_before_ = machine_kills();
  log_ = KernelLog::open();
}

void MemoryWatch::watch(Result<MemoryCgroup> cgroup) {
  cgroup_ = std::move(cgroup);
  auto counted = cgroup_ ? oom_kills(*cgroup_) : Result<OomKillCount>(Failure(cgroup_.error()));
  if (counted) {
    before_ = *counted;
    latest_ = earlier_ = {before_.own + before_.below, std::chrono::steady_clock::now()};
  } else {
    cgroup_ = Failure(std::move(counted).error());
  }
}

void MemoryWatch::look(pid_t training) {
  auto now = memory_cgroup(std::to_string(training));
  // An ending process of version 1 is in "/" already.
  if (!now || (cgroup_ && *now == *cgroup_) || has_ended(training)) return;
  if (!is_cgroup_of(*now, training)) return;
  moved_ = true;
  watch(std::move(now));
}

void MemoryWatch::look_at_count(pid_t training) {
  if (!cgroup_ || is_exiting(training)) return;
  const auto counted = oom_kills(*cgroup_);
  if (!counted) return;
  earlier_ =
      std::exchange(latest_, {counted->own + counted->below, std::chrono::steady_clock::now()});
}

protocol::MemoryFacts MemoryWatch::facts(bool killed) {
  protocol::MemoryFacts facts;
  if (cgroup_ && !moved_ && !is_cgroup_of(*cgroup_, ::getpid())) {
    cgroup_ = fail(ErrorCode::kResources, "the files of its memory cgroup are not mounted");
  }
  auto counted = cgroup_ ? oom_kills(*cgroup_) : Result<OomKillCount>(Failure(cgroup_.error()));
  if (cgroup_) facts.set_cgroup(cgroup_->path);
  if (counted) {
    facts.set_kills(counted->own - std::min(counted->own, before_.own));
    facts.set_kills_below(counted->below - std::min(counted->below, before_.below));
    const std::uint64_t all = counted->own + counted->below;
    facts.set_late_kills(all - std::min(all, earlier_.kills));
    facts.set_late_ms(std::chrono::duration_cast<std::chrono::milliseconds>(
                          std::chrono::steady_clock::now() - earlier_.at)
                          .count());
    facts.set_sharers(sharers_of(*cgroup_));
    if (const auto limit = memory_limit(*cgroup_)) {
      facts.set_limit_bytes(limit->bytes);
      facts.set_peak_bytes(limit->peak_bytes);
      facts.set_limited(limit->cgroup);
    }
  } else {
    facts.set_unreadable(counted.error().message);
  }
  const auto machine = machine_kills();
  if (machine && machine_before_) {
    facts.set_machine_kills(*machine - std::min(*machine, *machine_before_));
  }

  if (!log_) return facts;
  facts.set_kernel_log(in_first_pid_namespace() ? protocol::MemoryFacts::READ
                                                : protocol::MemoryFacts::OTHER_PIDS);
  std::string text = log_.read_new();
  const auto logged_enough = [&] {
    return oom_kills_in(text).size() >= facts.kills() + facts.kills_below();
  };
  for (int looks = 1; killed && !logged_enough() && looks < kLogLooks; ++looks) {
    muster::detail::pause_briefly();
    text += log_.read_new();
  }
  for (const LoggedOomKill& kill : oom_kills_in(text)) {
    protocol::OomKill& added = *facts.add_logged();
    added.set_pid(kill.pid);
    added.set_name(kill.name);
    added.set_cgroup(kill.cgroup);
    added.set_limited(kill.limited);
  }
  return facts;
}

}  // namespace muster::agent
