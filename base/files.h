// Files that appear whole or not at all, and directories that go away again.
#pragma once

#include <filesystem>
#include <string>
#include <string_view>

#include "base/fd.h"
#include "muster/result.h"

namespace muster {

// The whole file; an error when it holds more than max_bytes (a device may never end).
Result<std::string> read_file(const std::filesystem::path& path,
                              std::size_t max_bytes = std::size_t{1} << 30);

// The same of a regular file only: a FIFO that somebody named by mistake would be waited for, for
// ever.
Result<std::string> read_regular_file(const std::filesystem::path& path,
                                      std::size_t max_bytes = std::size_t{1} << 30);

// Replaces `path` by rename, so that readers see the old text or the new, never a mixture.  The new
// text is on the disk before the rename when `durable`.
Result<> replace_file(const std::filesystem::path& path, std::string_view text,
                      bool durable = false);

Result<> make_directories(const std::filesystem::path& path);

// Removes what is there, without following links out of the tree; absent is fine.  Where anything
// is mounted at the path or below, nothing is removed.
Result<> remove_tree(const std::filesystem::path& path);

// A directory of our own under `parent`, mode 0700, removed with all its content by the destructor.
class TemporaryDirectory {
 public:
  static Result<TemporaryDirectory> create(const std::filesystem::path& parent,
                                           const std::string& prefix);
  TemporaryDirectory(TemporaryDirectory&& other) noexcept : path_(std::move(other.path_)) {
    other.path_.clear();
  }
  TemporaryDirectory& operator=(TemporaryDirectory&& other) noexcept;
  ~TemporaryDirectory();

  const std::filesystem::path& path() const { return path_; }

 private:
  explicit TemporaryDirectory(std::filesystem::path path) : path_(std::move(path)) {}
  std::filesystem::path path_;
};

// The absolute path of the program that runs now.
Result<std::filesystem::path> own_executable();

// The full path of `name` as execvp would find it on `path_variable`; nullopt when it would not.
std::optional<std::filesystem::path> find_program(const std::string& name,
                                                  std::string_view path_variable);

}  // namespace muster
