// Whether a run store is what its records say: stored + gaps = length of every stream, and every
// byte as it was written.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "collector/store/run_directory.h"
#include "muster/result.h"

namespace muster::store {

enum class CheckState {
  kOk,
  kGrowing,      // the run goes on: what is there is right as far as that can be told
  kEndsUnknown,  // nobody wrote its end down: the launcher was killed
  kUnrecorded,   // no record speaks of it: nothing to check it by
  kWrong,
};
const char* to_text(CheckState state);

struct StreamCheck {
  std::string path;
  CheckState state = CheckState::kOk;
  std::uint64_t length = 0;     // of the stream, as far as it is known
  std::uint64_t stored = 0;     // of it, here or (below `freed`) at the collector
  std::uint64_t missing = 0;    // gaps with a known end
  bool missing_more = false;    // and one whose end is unknown
  std::uint64_t freed = 0;      // below it the bytes are at the collector only
  std::uint64_t uncertain = 0;  // of `stored`: the machine ended before they were on its disk
  std::string problem = {};     // with kWrong
};

struct FileCheck {
  std::string path;
  CheckState state = CheckState::kOk;
  std::uint64_t size = 0;
  std::string problem = {};  // with kWrong; why it is not stored, else
};

struct StoreCheck {
  bool is_growing = false;     // somebody writes this store now
  bool machine_ended = false;  // the one that wrote it, or it was another
  std::vector<StreamCheck> streams;
  std::vector<FileCheck> files;
  std::uint64_t bytes_read = 0;

  std::vector<std::string> problems() const;  // a sentence each; none: everything holds
};

// Reads every byte of it.  Errors: kData: there is no run, or it cannot be read.
Result<StoreCheck> verify(const RunDirectory& run);

}  // namespace muster::store
