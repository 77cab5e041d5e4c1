#include "base/mounts.h"

#include <fcntl.h>
#include <sys/mount.h>
#include <sys/sysmacros.h>

#include <algorithm>
#include <chrono>
#include <cstdlib>

#include "base/files.h"
#include "base/process.h"
#include "base/text.h"

namespace muster {
namespace fs = std::filesystem;
namespace {

constexpr std::size_t kLargestTable = std::size_t{64} << 20U;
constexpr auto kFusermountPatience = std::chrono::seconds(5);
constexpr std::size_t kFieldsBeforeOptional = 6;

bool is_octal(char c) {
  return c >= '0' && c <= '7';
}

// Space, tab, newline and backslash stand there as \040 and the like.
std::string unescaped(std::string_view text) {
  std::string plain;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const bool escape = text[i] == '\\' && i + 3 < text.size() && is_octal(text[i + 1]) &&
                        is_octal(text[i + 2]) && is_octal(text[i + 3]);
    if (!escape) {
      plain += text[i];
      continue;
    }
    plain +=
        static_cast<char>((text[i + 1] - '0') * 64 + (text[i + 2] - '0') * 8 + (text[i + 3] - '0'));
    i += 3;
  }
  return plain;
}

bool has_option(std::string_view options, std::string_view wanted) {
  const std::vector<std::string> words = split(options, ',');
  return std::find(words.begin(), words.end(), wanted) != words.end();
}

// "36 35 98:0 /root /point rw,noatime shared:1 - ext4 /dev/sda1 rw"
std::optional<Mount> parse_line(std::string_view line) {
  const std::vector<std::string> words = split(line, ' ');
  const auto dash = std::find(words.begin(), words.end(), "-");
  if (words.size() < kFieldsBeforeOptional || words.end() - dash < 3 ||
      dash - words.begin() < static_cast<std::ptrdiff_t>(kFieldsBeforeOptional)) {
    return std::nullopt;
  }
  const std::vector<std::string> device = split(words[2], ':');
  const auto id = parse_integer(words[0]);
  const auto device_major = parse_integer(device.front());
  const auto device_minor = parse_integer(device.back());
  if (!id || device.size() != 2 || !device_major || !device_minor) return std::nullopt;
  Mount mount;
  mount.id = static_cast<int>(*id);
  mount.device =
      ::makedev(static_cast<unsigned>(*device_major), static_cast<unsigned>(*device_minor));
  mount.root = unescaped(words[3]);
  mount.point = unescaped(words[4]);
  mount.read_only = has_option(words[5], "ro");
  mount.shared = std::any_of(words.begin() + kFieldsBeforeOptional, dash,
                             [](const std::string& word) { return word.starts_with("shared:"); });
  mount.type = unescaped(*(dash + 1));
  mount.source = unescaped(*(dash + 2));
  // A FUSE or block file system that is read-only itself has it in the last field alone.
  if (words.end() - dash > 3) mount.read_only |= has_option(*(dash + 3), "ro");
  return mount;
}

bool is_below(const fs::path& path, const fs::path& top) {
  const auto [end, ignored] = std::mismatch(top.begin(), top.end(), path.begin(), path.end());
  return end == top.end();
}

void run_fusermount(const fs::path& point) {
  const char* search_path = std::getenv("PATH");
  for (const char* name : {"fusermount3", "fusermount"}) {
    const auto program = find_program(name, search_path == nullptr ? "" : search_path);
    if (!program) continue;
    const auto nothing = open_file("/dev/null", O_RDWR);
    if (!nothing) return;
    ChildSpec spec;
    spec.program = program->string();
    spec.argv = {name, "-u", "-z", "-q", point.string()};
    spec.environment = own_environment();
    spec.stdin_fd = spec.stdout_fd = spec.stderr_fd = nothing->get();
    auto child = Child::start(spec);
    if (!child) return;
    const auto deadline = std::chrono::steady_clock::now() + kFusermountPatience;
    while (!child->try_reap() && std::chrono::steady_clock::now() < deadline) {
      detail::pause_briefly();
    }
    return;
  }
}

}  // namespace

std::vector<Mount> parse_mount_table(std::string_view text) {
  std::vector<Mount> table;
  for (const std::string& line : split(text, '\n')) {
    if (auto mount = parse_line(line)) table.push_back(std::move(*mount));
  }
  return table;
}

std::vector<Mount> mount_table() {
  const auto text = read_file("/proc/self/mountinfo", kLargestTable);
  return text ? parse_mount_table(*text) : std::vector<Mount>();
}

std::optional<Mount> mount_at(const std::vector<Mount>& table, const fs::path& point) {
  const auto found = std::find_if(table.rbegin(), table.rend(),
                                  [&](const Mount& mount) { return mount.point == point; });
  return found == table.rend() ? std::nullopt : std::optional<Mount>(*found);
}

std::vector<Mount> mounts_below(const std::vector<Mount>& table, const fs::path& path) {
  std::vector<Mount> found;
  std::copy_if(table.begin(), table.end(), std::back_inserter(found),
               [&](const Mount& mount) { return is_below(mount.point, path); });
  return found;
}

fs::path path_in_table(const fs::path& path) {
  std::error_code error;
  fs::path whole = fs::absolute(path, error).lexically_normal();
  if (!whole.has_filename()) whole = whole.parent_path();  // "a/b/"
  const fs::path parent = fs::canonical(whole.parent_path(), error);
  return error ? whole : parent / whole.filename();
}

std::vector<Mount> detach_mounts_below(const fs::path& path) {
  const fs::path top = path_in_table(path);
  std::vector<Mount> left = mounts_below(mount_table(), top);
  // Each turn takes the last one mounted away, which no other one covers.
  for (std::size_t turns = left.size(); turns > 0 && !left.empty(); --turns) {
    const fs::path point = left.back().point;
    if (::umount2(point.c_str(), MNT_DETACH | UMOUNT_NOFOLLOW) != 0) run_fusermount(point);
    left = mounts_below(mount_table(), top);
  }
  return left;
}

}  // namespace muster
