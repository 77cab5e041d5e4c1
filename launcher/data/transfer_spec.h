// What one transfer has to do, as plain data: the launcher writes it, the transfer program reads
// it.  No secret is in it; those reach the program in its environment.
#pragma once

#include <chrono>
#include <string>
#include <string_view>
#include <vector>

#include "muster/result.h"

namespace muster::data {

enum class TransferDirection { kDownload, kUpload };
enum class TransferBy { kLocalCopy, kRclone };
enum class TransferType { kFolder, kFile };

struct TransferSpec {
  TransferDirection direction = TransferDirection::kDownload;
  TransferBy by = TransferBy::kLocalCopy;
  TransferType type = TransferType::kFolder;
  std::string name;    // of the input or output: "digits"
  std::string source;  // a path, or "remote:path" for rclone; of an upload the local folder
  std::string target;  // of an upload: a path or "remote:path"; a download goes to the cache
  std::string shown;   // the far side as the user wrote it: "datastore://blob/digits"
  std::string cache;   // of a download: the folder of the cache's entries
  std::vector<std::string> include = {};             // patterns of names; empty: all
  bool overwrite = false;                            // of an upload: names that exist are replaced
  std::vector<std::string> rclone = {};              // the program and its options
  std::chrono::milliseconds stall_timeout{300'000};  // without a byte it has failed
  std::string on_behalf_of = {};  // told to those who wait for it: "run 20261123-065122-c028"
};

std::string to_json(const TransferSpec& spec);
// Errors: kInternal; nobody but Muster writes it.
Result<TransferSpec> transfer_spec_from_json(std::string_view text);

// "input digits", "output model"
std::string subject_of(const TransferSpec& spec);

}  // namespace muster::data
