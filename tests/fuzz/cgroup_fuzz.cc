// cgroup_cpu_quota(): what the kernel's files may say.  The parts of an input, divided by lines
// "%%", are /proc/self/cgroup, cpu.max, cpu.cfs_quota_us and cpu.cfs_period_us.

#include <cmath>

#include "launcher/topology/cgroup_quota.h"
#include "tests/fuzz/fuzz_root.h"

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace muster;
  static const fuzz::Root root({"proc/self", "sys/fs/cgroup/cpu/a", "sys/fs/cgroup/a/b"});
  const auto parts = fuzz::parts_of(fuzz::text_of(data, size));
  const auto part = [&](std::size_t at) { return at < parts.size() ? parts[at] : ""; };
  root.write("proc/self/cgroup", part(0));
  root.write("sys/fs/cgroup/cpu.max", part(1));
  root.write("sys/fs/cgroup/a/b/cpu.max", part(1));
  root.write("sys/fs/cgroup/cpu/a/cpu.cfs_quota_us", part(2));
  root.write("sys/fs/cgroup/cpu/a/cpu.cfs_period_us", part(3));
  const auto quota = topology::cgroup_cpu_quota(root.path());
  fuzz::require(!quota || (std::isfinite(*quota) && *quota > 0), "a quota is a number");
  return 0;
}
