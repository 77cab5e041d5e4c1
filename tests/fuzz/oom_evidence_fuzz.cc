// What proves an OOM kill: the kernel's log and the files of a memory cgroup.  The parts of an
// input, divided by lines "%%", are the log, /proc/self/cgroup, and a file of counters.

#include "rank_agent/kernel_log.h"
#include "rank_agent/memory_cgroup.h"
#include "tests/fuzz/fuzz_root.h"

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace muster;
  static const fuzz::Root root({"proc/self", "sys/fs/cgroup/memory/a/b", "sys/fs/cgroup/a/b"});
  const auto parts = fuzz::parts_of(fuzz::text_of(data, size));
  const auto part = [&](std::size_t at) { return at < parts.size() ? parts[at] : ""; };
  for (const agent::LoggedOomKill& kill : agent::oom_kills_in(part(0))) {
    fuzz::require(kill.name.find('\n') == kill.name.npos, "a name is a part of a line");
  }
  root.write("proc/self/cgroup", part(1));
  root.write("sys/fs/cgroup/memory/a/b/memory.oom_control", part(2));
  root.write("sys/fs/cgroup/memory/a/b/memory.limit_in_bytes", part(2));
  root.write("sys/fs/cgroup/a/b/memory.events", part(2));
  root.write("sys/fs/cgroup/a/b/memory.max", part(2));
  const auto cgroup = agent::memory_cgroup("self", root.path().string());
  if (!cgroup) return 0;
  fuzz::require(cgroup->directory.starts_with(cgroup->top), "its files are below the mount");
  static_cast<void>(agent::oom_kills(*cgroup));
  static_cast<void>(agent::memory_limit(*cgroup));
  return 0;
}
