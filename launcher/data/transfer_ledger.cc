#include "launcher/data/transfer_ledger.h"

#include <cerrno>
#include <fcntl.h>
#include <unistd.h>

#include "base/files.h"
#include "base/text.h"

namespace muster::data {
namespace fs = std::filesystem;
namespace {

std::string boot_id() {
  const auto text = read_file("/proc/sys/kernel/random/boot_id");
  return text ? text->substr(0, text->find('\n')) : "unknown";
}

// The last whole line after the header.
std::uint64_t last_note(std::string_view text, std::string_view header) {
  if (!text.starts_with(header)) return 0;
  text.remove_prefix(header.size());
  const std::size_t end = text.rfind('\n');
  if (end == std::string_view::npos) return 0;
  const std::size_t before = text.rfind('\n', end == 0 ? 0 : end - 1);
  const std::size_t begin = before == std::string_view::npos || before == end ? 0 : before + 1;
  const auto number = parse_integer(text.substr(begin, end - begin));
  return number && *number > 0 ? static_cast<std::uint64_t>(*number) : 0;
}

}  // namespace

Result<TransferLedger> TransferLedger::open(const fs::path& folder, const ManifestEntry& entry) {
  MUSTER_TRY(make_directories(folder));
  TransferLedger ledger(folder / short_hash(entry.path),
                        boot_id() + " " + std::to_string(entry.size) + " " +
                            std::to_string(entry.mtime_ns) + " " + short_hash(entry.path) + " " +
                            (entry.hash.empty() ? "-" : entry.hash) + "\n");
  if (const auto text = read_file(ledger.path_)) ledger.done_ = last_note(*text, ledger.header_);
  if (ledger.done_ == 0 || ledger.done_ > entry.size) {
    MUSTER_TRY(ledger.restart());
  } else {
    MUSTER_TRY_ASSIGN(ledger.file_, open_file(ledger.path_, O_WRONLY | O_APPEND));
  }
  return ledger;
}

Result<> TransferLedger::note(std::uint64_t done) {
  done_ = done;
  return write_all(file_, std::to_string(done) + "\n");
}

Result<> TransferLedger::restart() {
  done_ = 0;
  MUSTER_TRY_ASSIGN(file_, open_file(path_, O_WRONLY | O_CREAT | O_TRUNC | O_APPEND, 0600));
  return write_all(file_, header_);
}

void TransferLedger::remove() {
  ::unlink(path_.c_str());
}

}  // namespace muster::data
