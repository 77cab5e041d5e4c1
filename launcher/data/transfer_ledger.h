// How much of a large file is there: one small file beside a copy that grows, so that the next try
// goes on where this one was ended.
#pragma once

#include <cstdint>
#include <filesystem>

#include "base/fd.h"
#include "launcher/data/transfer_manifest.h"
#include "muster/result.h"

namespace muster::data {

class TransferLedger {
 public:
  // Opens or begins the one of `entry` in `folder`.  Notes of another version of the file do not
  // count, nor those from before this machine's start: what was then in memory may be lost.
  static Result<TransferLedger> open(const std::filesystem::path& folder,
                                     const ManifestEntry& entry);

  std::uint64_t done() const { return done_; }  // bytes from the file's beginning
  Result<> note(std::uint64_t done);
  // The file is begun again.
  Result<> restart();
  // The file is complete.
  void remove();

 private:
  TransferLedger(std::filesystem::path path, std::string header)
      : path_(std::move(path)), header_(std::move(header)) {}

  std::filesystem::path path_;
  std::string header_;
  Fd file_;
  std::uint64_t done_ = 0;
};

}  // namespace muster::data
