#include "launcher/exec/process_sample.h"

#include <cstdio>
#include <dirent.h>
#include <fcntl.h>
#include <unistd.h>

#include <memory>
#include <optional>
#include <string>

#include "base/fd.h"
#include "base/process.h"
#include "base/text.h"

namespace muster::exec {
namespace {

// Calls back with each entry of a directory whose name is a number.
template <typename Callback>
void for_each_number(const std::string& directory, Callback callback) {
  const std::unique_ptr<DIR, int (*)(DIR*)> entries(::opendir(directory.c_str()), &::closedir);
  if (!entries) return;
  while (const dirent* entry = ::readdir(entries.get())) {
    const auto number = parse_integer(entry->d_name);
    if (number && !callback(static_cast<pid_t>(*number))) return;
  }
}

// "pid (name) state ppid …", where the name may hold anything.
std::optional<ProcessSample> read_stat(const std::string& path) {
  const Fd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!fd) return std::nullopt;
  char text[2048];
  const ssize_t got = ::read(fd.get(), text, sizeof text - 1);
  if (got <= 0) return std::nullopt;
  text[got] = '\0';
  const std::size_t after_name = std::string_view(text).rfind(") ");
  if (after_name == std::string_view::npos) return std::nullopt;

  ProcessSample sample;
  unsigned long user = 0;
  unsigned long system = 0;
  long children_user = 0;
  long children_system = 0;
  long rss_pages = 0;
  const int fields = std::sscanf(text + after_name + 2,
                                 "%c %d %*d %*d %*d %*d %*u %*u %*u %*u %*u %lu %lu %ld %ld %*d "
                                 "%*d %*d %*d %*u %*u %ld",
                                 &sample.state, &sample.parent, &user, &system, &children_user,
                                 &children_system, &rss_pages);
  if (fields != 7) return std::nullopt;
  static const auto ticks = static_cast<double>(::sysconf(_SC_CLK_TCK));
  static const auto page_size = static_cast<std::uint64_t>(::sysconf(_SC_PAGESIZE));
  sample.cpu_seconds = (static_cast<double>(user) + static_cast<double>(system) +
                        static_cast<double>(children_user) + static_cast<double>(children_system)) /
                       ticks;
  sample.rss_bytes = rss_pages > 0 ? static_cast<std::uint64_t>(rss_pages) * page_size : 0;
  return sample;
}

}  // namespace

ProcessTable ProcessTable::read() {
  ProcessTable table;
  for_each_number("/proc", [&table](pid_t pid) {
    if (const auto sample = read_stat("/proc/" + std::to_string(pid) + "/stat")) {
      table.add(pid, *sample);
    }
    return true;
  });
  return table;
}

void ProcessTable::add(pid_t pid, ProcessSample sample) {
  children_.emplace(sample.parent, pid);
  processes_[pid] = sample;
}

const ProcessSample* ProcessTable::find(pid_t pid) const {
  const auto found = processes_.find(pid);
  return found == processes_.end() ? nullptr : &found->second;
}

TreeSample ProcessTable::tree(pid_t root) const {
  TreeSample sum;
  std::vector<pid_t> waiting{root};
  while (!waiting.empty()) {
    const pid_t pid = waiting.back();
    waiting.pop_back();
    const ProcessSample* process = find(pid);
    if (process == nullptr) continue;
    ++sum.process_count;
    sum.cpu_seconds += process->cpu_seconds;
    sum.rss_bytes += process->rss_bytes;
    // A table that was read while processes came and went could hold a circle.
    if (static_cast<std::size_t>(sum.process_count) > processes_.size()) return sum;
    const auto [first, last] = children_.equal_range(pid);
    for (auto child = first; child != last; ++child) waiting.push_back(child->second);
  }
  return sum;
}

std::map<char, int> thread_states(pid_t pid, int max_threads) {
  std::map<char, int> states;
  int seen = 0;
  const std::string tasks = "/proc/" + std::to_string(pid) + "/task/";
  for_each_number(tasks, [&](pid_t thread) {
    if (const auto sample = read_stat(tasks + std::to_string(thread) + "/stat")) {
      ++states[sample->state];
    }
    return ++seen < max_threads;
  });
  return states;
}

}  // namespace muster::exec
