// The head's copy of the source on its way to a node that lacks it: folders, files with their
// modes, links; in pieces that fit into a connection, and no more at a time than was asked for.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "base/fd.h"
#include "cluster.pb.h"
#include "collector/store/safe_path.h"
#include "muster/result.h"

namespace muster::link {

inline constexpr std::size_t kSourcePiece = 256U << 10;
// A node asks (SourceWanted) for the next so many bytes when it has written those before.
inline constexpr std::uint64_t kSourceWindow = 1U << 20;

class SourceSender {
 public:
  // Errors: kData.
  static Result<SourceSender> open(const std::filesystem::path& root);

  // The next pieces, kSourceWindow bytes or the rest; the last one of all has no path.  Errors:
  // kData: a file cannot be read.
  Result<std::vector<protocol::SourcePart>> next();

 private:
  explicit SourceSender(std::filesystem::path root) : root_(std::move(root)) {}

  std::filesystem::path root_;
  std::vector<std::string> paths_;  // relative, folders before what is in them
  std::size_t at_ = 0;
  Fd file_;  // of paths_[at_], while it is sent
  std::uint64_t offset_ = 0;
};

class SourceTaker {
 public:
  // Into a folder that is made here.  Errors: kData.
  static Result<SourceTaker> open(const std::filesystem::path& root);

  enum class State { kGoesOn, kWantsMore, kDone };
  // Errors: kData: it leads elsewhere, or cannot be written.
  Result<State> take(const protocol::SourcePart& part);
  std::uint64_t files() const { return files_; }
  std::uint64_t bytes() const { return bytes_; }

 private:
  explicit SourceTaker(store::SafeRoot root) : root_(std::move(root)) {}

  store::SafeRoot root_;
  Fd file_;
  std::uint64_t files_ = 0;
  std::uint64_t bytes_ = 0;
  std::uint64_t in_window_ = 0;
};

}  // namespace muster::link
