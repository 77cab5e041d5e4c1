// One append-only file whose offsets are those of its stream: bytes, runs of zeros and gaps (both
// holes), and the digest of what is stored.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "base/fd.h"
#include "collector/store/digest.h"
#include "muster/result.h"

namespace muster::store {

class AppendFile {
 public:
  AppendFile() = default;
  // What is there ends at `size`; `name` is for messages.
  AppendFile(Fd fd, std::string name, std::uint64_t size);

  // All bytes, or an Error (kRunDirectory); then size() says how far it came, and error_number()
  // why it came no further.
  Result<> append(std::string_view bytes);
  Result<> append_zeros(std::uint64_t count);  // stored bytes, without room on the disk
  Result<> skip(std::uint64_t count);          // bytes that are missing
  // Forgets everything from `size` on.
  Result<> cut_back(std::uint64_t size);

  std::uint64_t size() const { return size_; }
  int error_number() const { return error_number_; }
  const std::string& name() const { return name_; }

  // Of the stored bytes, without gaps; nullopt where not all of them came through this object.
  std::optional<std::string> digest() const;
  void set_digest(Digest digest);

  // A descriptor may be given up, and come back.
  bool is_open() const { return static_cast<bool>(fd_); }
  const Fd& fd() const { return fd_; }
  void set_fd(Fd fd) { fd_ = std::move(fd); }

 private:
  Result<> extend(std::uint64_t count);

  Fd fd_;
  std::string name_;
  std::uint64_t size_ = 0;
  int error_number_ = 0;
  std::optional<Digest> digest_;
};

// Whether an error number says that there is no room (a disk, a quota, a limit of a file's size).
bool is_out_of_room(int error_number);

}  // namespace muster::store
