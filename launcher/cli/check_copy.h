// Whether a copy of a stored file has the bytes that the run's records say it has.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "collector/store/file_manifest.h"
#include "collector/store/stream_ledger.h"
#include "launcher/cli/find_run.h"

namespace muster::cli {

class CopyCheck {
 public:
  // Errors: kData: its records cannot be read.
  static Result<CopyCheck> create(const FoundRun& run);

  // Of a file that still grows, or that no record speaks of, there is nothing to compare with.
  // Errors: kData: it is not what was stored.
  Result<> check(const std::string& path, std::uint64_t size, const std::string& digest) const;

 private:
  explicit CopyCheck(const FoundRun& run) : run_(run) {}

  const store::FileEntry* entry_of(const std::string& path, const store::FileStates& states) const;
  Result<> check_stream(const std::string& path, std::uint64_t size,
                        const std::string& digest) const;

  const FoundRun& run_;
  bool grows_ = false;  // its launcher goes on, as far as can be told, or was killed
  bool goes_on_ = false;
  store::FileStates files_;
  store::StreamRecords streams_;
};

}  // namespace muster::cli
