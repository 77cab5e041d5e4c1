#include "launcher/report/launcher_mark.h"

#include <cerrno>
#include <csignal>
#include <unistd.h>

#include "base/files.h"
#include "base/text.h"

// The lock answers for every process of this machine, also from another container, where the pid
// means nothing.  The pid answers where there are no locks.  After a reboot nothing lives, and
// about another machine only a lock that the file system shares says anything.
namespace muster::report {
namespace {

std::string first_line(const char* path) {
  std::string text = read_file(path, 4096).value_or("");
  return text.substr(0, text.find('\n'));
}

std::string boot_id() {
  return first_line("/proc/sys/kernel/random/boot_id");
}

std::string pid_namespace() {
  char text[64];
  const ssize_t length = ::readlink("/proc/self/ns/pid", text, sizeof text);
  return length > 0 ? std::string(text, static_cast<std::size_t>(length)) : "";
}

std::string host_name() {
  char text[256] = {};
  return ::gethostname(text, sizeof text - 1) == 0 ? text : "";
}

struct ProcessStat {
  char state = 'X';
  std::uint64_t start_time = 0;
};

// The state is field 3, the start time field 22; the name, field 2, may hold blanks and brackets.
ProcessStat process_stat(int pid) {
  const std::string text =
      read_file("/proc/" + std::to_string(pid) + "/stat", 1 << 16).value_or("");
  ProcessStat stat;
  const std::size_t name_end = text.rfind(") ");
  if (name_end == std::string::npos) return stat;
  const auto fields = split(std::string_view(text).substr(name_end + 2), ' ');
  if (fields.size() < 20) return stat;
  stat.state = fields[0].empty() ? 'X' : fields[0].front();
  stat.start_time = static_cast<std::uint64_t>(parse_integer(fields[19]).value_or(0));
  return stat;
}

bool runs_here(const LauncherMark& mark) {
  if (mark.pid <= 0 || (::kill(mark.pid, 0) != 0 && errno == ESRCH)) return false;
  const ProcessStat stat = process_stat(mark.pid);
  if (stat.state == 'Z') return false;  // killed, and nobody has reaped it
  // Without a start time /proc is not there or hides other users' processes: then the pid is all.
  return stat.start_time == 0 || mark.start_time == 0 || stat.start_time == mark.start_time;
}

}  // namespace

LauncherMark own_launcher_mark(const std::string& hostname, bool holds_lock) {
  LauncherMark mark;
  mark.hostname = hostname;
  mark.pid = ::getpid();
  mark.start_time = process_stat(mark.pid).start_time;
  mark.boot_id = boot_id();
  mark.pid_namespace = pid_namespace();
  mark.holds_lock = holds_lock;
  return mark;
}

LauncherLife launcher_life(const LauncherMark& mark, const store::RunDirectory& run) {
  if (run.is_locked()) return LauncherLife::kAlive;
  const bool same_host = mark.hostname == host_name();
  const std::string here = boot_id();
  if (mark.boot_id.empty() || here.empty() ? !same_host : mark.boot_id != here) {
    return same_host ? LauncherLife::kGone : LauncherLife::kUnknown;
  }
  if (mark.pid_namespace == pid_namespace()) {
    return runs_here(mark) ? LauncherLife::kAlive : LauncherLife::kGone;
  }
  return mark.holds_lock ? LauncherLife::kGone : LauncherLife::kUnknown;
}

}  // namespace muster::report
