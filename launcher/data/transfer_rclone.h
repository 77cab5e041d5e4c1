// Transfers through rclone, which knows the stores of the world: the list of a remote, its files to
// and from a local folder.  Nothing secret is in the words that it is given.
#pragma once

#include <filesystem>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "launcher/data/transfer_copy.h"
#include "launcher/data/transfer_manifest.h"
#include "launcher/data/transfer_progress.h"
#include "launcher/data/transfer_spec.h"
#include "muster/result.h"

namespace muster::data {

class Rclone {
 public:
  // `words`: the program and its options.
  Rclone(std::vector<std::string> words, TransferProgress& progress)
      : words_(std::move(words)), progress_(progress) {}

  struct Remote {
    std::string hash_type;  // that it tells without reading the files; empty: none
  };
  Result<Remote> look_at(const TransferSpec& spec) const;

  // The files and folders below, or the one file.
  Result<Manifest> list(const TransferSpec& spec, const std::string& remote,
                        const Remote& about) const;
  // Those of the names in the file that are there; the names of a whole store may be too many.
  Result<Manifest> list_some(const std::string& remote, const std::filesystem::path& names) const;

  // Files of `manifest` to `to`; like copy_manifest().
  Result<CopyCounts> download(const TransferSpec& spec, const Manifest& manifest,
                              const Remote& about, const std::filesystem::path& to,
                              const std::filesystem::path& ledgers) const;

  // The files whose names are in the file `names`, from a local folder.
  Result<> upload(const std::string& from, const std::string& remote,
                  const std::filesystem::path& names) const;

 private:
  using OnBytes = std::function<Result<>(std::string_view)>;

  // Runs it to its end: its stdout goes to `on_bytes`.  Errors: kData, with its last lines.
  Result<> run(const std::vector<std::string>& arguments, const std::string& doing,
               const OnBytes& on_bytes, std::uint64_t files_before = 0,
               std::uint64_t bytes_before = 0) const;
  Result<std::string> ask(const std::vector<std::string>& arguments,
                          const std::string& doing) const;
  Result<std::uint64_t> download_large(const std::string& remote, const ManifestEntry& entry,
                                       const std::filesystem::path& target,
                                       const std::filesystem::path& ledgers) const;

  std::vector<std::string> words_;
  TransferProgress& progress_;
};

// What a line on rclone's stderr says, with --use-json-log or without.
struct RcloneLine {
  std::string message;     // of an error; empty: none
  bool has_stats = false;  // the next three count since its start
  std::uint64_t files = 0;
  std::uint64_t bytes = 0;
  std::string at;  // a file that moves now
};
RcloneLine parse_rclone_line(std::string_view line);

// A datastore's options without those that only `rclone mount` knows: the others refuse them.
std::vector<std::string> options_for_copies(const std::vector<std::string>& options);

// The list that `rclone lsjson` prints.  A time after `listed_at_ns` is none: some stores tell the
// present for want of a better one.
Result<Manifest> parse_rclone_list(std::string_view text, const std::string& hash_type,
                                   std::int64_t listed_at_ns);

}  // namespace muster::data
