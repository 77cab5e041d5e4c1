// cgroup_cpu_quota(): what the kernel's files may say.  The parts of an input, divided by lines
// "%%", are /proc/self/cgroup, cpu.max, cpu.cfs_quota_us and cpu.cfs_period_us.

#include <cmath>
#include <filesystem>
#include <fstream>

#include "launcher/topology/cgroup_quota.h"
#include "tests/fuzz/fuzz_target.h"

namespace fs = std::filesystem;

namespace {

// One directory for the whole process; each input overwrites its files.
class Root {
 public:
  Root() {
    std::string name = (fs::temp_directory_path() / "muster-fuzz-XXXXXX").string();
    if (::mkdtemp(name.data()) == nullptr) std::abort();
    path_ = name;
    fs::create_directories(path_ / "proc/self");
    fs::create_directories(path_ / "sys/fs/cgroup/cpu/a");
    fs::create_directories(path_ / "sys/fs/cgroup/a/b");
  }
  ~Root() {
    std::error_code ignored;
    fs::remove_all(path_, ignored);
  }
  Root(const Root&) = delete;
  Root& operator=(const Root&) = delete;

  const fs::path& path() const { return path_; }
  void write(const char* name, std::string_view text) const {
    std::ofstream(path_ / name, std::ios::binary) << text;
  }

 private:
  fs::path path_;
};

}  // namespace

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static const Root root;
  const auto parts = muster::fuzz::parts_of(muster::fuzz::text_of(data, size));
  const auto part = [&](std::size_t at) { return at < parts.size() ? parts[at] : ""; };
  root.write("proc/self/cgroup", part(0));
  root.write("sys/fs/cgroup/cpu.max", part(1));
  root.write("sys/fs/cgroup/a/b/cpu.max", part(1));
  root.write("sys/fs/cgroup/cpu/a/cpu.cfs_quota_us", part(2));
  root.write("sys/fs/cgroup/cpu/a/cpu.cfs_period_us", part(3));
  const auto quota = muster::topology::cgroup_cpu_quota(root.path());
  muster::fuzz::require(!quota || (std::isfinite(*quota) && *quota > 0), "a quota is a number");
  return 0;
}
