#include "rank_agent/kernel_log.h"

#include <cerrno>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>

#include "base/text.h"

namespace muster::agent {
namespace {

// Of /dev/kmsg's records, and of all of them together: a rank may run for weeks.
constexpr std::size_t kLongestRecord = 8192;
constexpr std::size_t kMostText = 1 << 20;
constexpr std::size_t kMostKills = 64;
constexpr ino_t kFirstPidNamespace = 0xEFFFFFFC;  // PROC_PID_INIT_INO

// "…,key=value,…": the text between `key` and `end`, or to the line's end.
std::string field(std::string_view line, std::string_view key, std::string_view end) {
  const std::size_t at = line.find(key);
  if (at == line.npos) return "";
  line.remove_prefix(at + key.size());
  return std::string(line.substr(0, line.find(end)));
}

LoggedOomKill& kill_of(std::vector<LoggedOomKill>& kills, int pid) {
  const auto found =
      std::find_if(kills.begin(), kills.end(), [&](const auto& kill) { return kill.pid == pid; });
  if (found != kills.end()) return *found;
  return kills.emplace_back(LoggedOomKill{pid, "", "", ""});
}

// "oom-kill:constraint=CONSTRAINT_MEMCG,nodemask=(null),cpuset=/,mems_allowed=0,oom_memcg=/a,
// task_memcg=/a/b,task=python3,pid=6301,uid=0"; without oom_memcg ("global_oom") when the machine
// was out of memory.
void read_choice(std::string_view line, std::vector<LoggedOomKill>& kills) {
  const auto pid = parse_integer(field(line, ",pid=", ","));
  if (!pid) return;
  LoggedOomKill& kill = kill_of(kills, static_cast<int>(*pid));
  kill.name = field(line, ",task=", ",pid=");
  kill.cgroup = field(line, ",task_memcg=", ",task=");
  kill.limited = field(line, ",oom_memcg=", ",task_memcg=");
}

// "Memory cgroup out of memory: Killed process 6301 (python3) total-vm:218656kB, …"
void read_kill(std::string_view line, std::vector<LoggedOomKill>& kills) {
  const auto pid = parse_integer(field(line, "Killed process ", " "));
  if (!pid) return;
  LoggedOomKill& kill = kill_of(kills, static_cast<int>(*pid));
  if (kill.name.empty()) kill.name = field(line, " (", ") total-vm");
  // Of which cgroup this line does not say.
  if (kill.limited.empty() && line.find("emory cgroup out of memory") != line.npos) {
    kill.limited = "?";
  }
}

}  // namespace

std::vector<LoggedOomKill> oom_kills_in(std::string_view log) {
  std::vector<LoggedOomKill> kills;
  for (const std::string& line : split(log, '\n')) {
    if (kills.size() >= kMostKills) break;
    if (line.find("oom-kill:constraint=") != line.npos) read_choice(line, kills);
    if (line.find("ut of memory") != line.npos) read_kill(line, kills);
  }
  return kills;
}

KernelLog KernelLog::open() {
  KernelLog log;
  log.fd_ = Fd(::open("/dev/kmsg", O_RDONLY | O_NONBLOCK | O_CLOEXEC));
  if (log.fd_ && ::lseek(log.fd_.get(), 0, SEEK_END) < 0) log.fd_.reset();
  return log;
}

// A read gives one record: "6,1234,5678,-;text", and lines that begin with a blank after it.
std::string KernelLog::read_new() {
  std::string text;
  char record[kLongestRecord];
  while (fd_ && text.size() < kMostText) {
    const ssize_t got = ::read(fd_.get(), record, sizeof record);
    if (got < 0 && (errno == EPIPE || errno == EINTR)) continue;  // EPIPE: the oldest are lost
    if (got <= 0) break;
    std::string_view line(record, static_cast<std::size_t>(got));
    line = line.substr(0, line.find('\n'));
    const std::size_t semicolon = line.find(';');
    if (semicolon == line.npos) continue;
    line.remove_prefix(semicolon + 1);
    // Kept is only what is of use.
    if (line.find("oom-kill:") == line.npos && line.find("ut of memory") == line.npos) continue;
    text.append(line).push_back('\n');
  }
  return text;
}

bool in_first_pid_namespace() {
  struct stat own {};
  return ::stat("/proc/self/ns/pid", &own) == 0 && own.st_ino == kFirstPidNamespace;
}

}  // namespace muster::agent
