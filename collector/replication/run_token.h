// The run token: the secret by which launchers and collectors know each other.
//
// It lies in a file that only its owner can read, or comes through a descriptor; never in an
// argument, a variable, a log or the run directory.  In memory it lives only until the keys are
// derived from it.
#pragma once

#include <filesystem>
#include <string>
#include <string_view>

#include "collector/replication/hmac.h"
#include "muster/result.h"

namespace muster::replication {

// One key for each use, so that none can stand for another.
struct TokenKeys {
  Key tls;     // the PSK
  Key client;  // proofs of who connects
  Key server;  // proofs of who listens
};

TokenKeys keys_of(std::string_view token);

// `source`: a file's path, or fd:N for a descriptor that is read to its end and closed.  Blanks
// around the token do not belong to it.  Errors: kPermission.
Result<TokenKeys> read_token(const std::string& source);

// 32 random bytes as hex digits and a newline.
std::string make_token();
// A new file, mode 0600.  Errors: kPermission; one that exists stays as it is.
Result<> write_token(const std::filesystem::path& path, std::string_view token);

}  // namespace muster::replication
