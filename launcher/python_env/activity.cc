#include "launcher/python_env/activity.h"

#include <vector>

#include "base/files.h"
#include "base/process.h"
#include "base/text.h"

namespace muster::python_env {
namespace {

std::string proc_file(pid_t pid, const char* name) {
  return read_file("/proc/" + std::to_string(pid) + "/" + name).value_or("");
}

// utime and stime, in clock ticks.
std::uint64_t cpu_ticks(pid_t pid) {
  const std::string stat = proc_file(pid, "stat");
  const std::size_t name_end = stat.rfind(") ");
  if (name_end == std::string::npos) return 0;
  const auto fields = split(stat.substr(name_end + 2), ' ');
  if (fields.size() < 13) return 0;
  return static_cast<std::uint64_t>(parse_integer(fields[11]).value_or(0) +
                                    parse_integer(fields[12]).value_or(0));
}

std::uint64_t written_bytes(pid_t pid) {
  for (const std::string& line : split(proc_file(pid, "io"), '\n')) {
    if (line.starts_with("wchar: ")) {
      return static_cast<std::uint64_t>(parse_integer(line.substr(7)).value_or(0));
    }
  }
  return 0;
}

// A sum that stays the same as long as none of them does anything.
std::uint64_t state_of_tree(pid_t pid) {
  std::uint64_t state = cpu_ticks(pid) + written_bytes(pid) + static_cast<std::uint64_t>(pid);
  for (const pid_t child : children_of(pid)) state += state_of_tree(child);
  return state;
}

}  // namespace

Activity::Activity(std::string word, std::chrono::milliseconds patience)
    : word_(std::move(word)), patience_(patience) {}

Result<> Activity::check() {
  std::uint64_t state = 0;
  for (const pid_t child : children_of_this_process()) {
    if (proc_file(child, "cmdline").find(word_) != std::string::npos) state += state_of_tree(child);
  }
  const auto now = Clock::now();
  if (state != last_) {
    last_ = state;
    changed_ = now;
  }
  if (now - changed_ < patience_) return {};
  return fail(ErrorCode::kResources, "has done nothing for " + format_duration(patience_),
              "is the package index reachable from this node? limits.transfer_stall_timeout is how "
              "long it may be silent");
}

}  // namespace muster::python_env
