// What a collector reads of its own store after a crash: the ledger of streams, the manifest of
// files, what is durable, and how much of records is sound.  The first byte of an input says which.

#include <optional>

#include "collector/store/durable_state.h"
#include "collector/store/file_manifest.h"
#include "collector/store/recovery.h"
#include "collector/store/stream_ledger.h"
#include "tests/fuzz/fuzz_target.h"

namespace {

using namespace muster;

void read_ledger(std::string_view text) {
  for (const auto& [path, record] : store::parse_ledger(text)) {
    for (std::size_t at = 0; at < record.gaps.size(); ++at) {
      const store::Gap& gap = record.gaps[at];
      fuzz::require(!gap.to || *gap.to >= gap.from, "no gap ends before it begins");
      fuzz::require(at == 0 || record.gaps[at - 1].from < gap.from, "gaps are in order");
    }
    for (const std::uint64_t limit : {std::uint64_t{0}, std::uint64_t{1000}, ~std::uint64_t{0}}) {
      fuzz::require(record.missing(limit) <= limit, "no more is missing than there is");
    }
  }
}

void read_manifest(std::string_view text) {
  for (const auto& [path, state] : store::parse_manifest(text)) {
    fuzz::require(!state.stored || state.stored->path == path, "an entry has its path");
    fuzz::require(!state.stored || state.stored->mode <= 0777, "no set-user-id files");
  }
}

}  // namespace

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  std::string_view text = fuzz::text_of(data, size);
  if (text.empty()) return 0;
  const char which = text.front();
  text.remove_prefix(1);
  if (which == 'l') {
    read_ledger(text);
  } else if (which == 'm') {
    read_manifest(text);
  } else if (which == 's') {
    const std::uint64_t certain = text.empty() ? 0 : static_cast<unsigned char>(text.front());
    const std::uint64_t sound = store::sound_length(text, certain);
    fuzz::require(sound <= text.size(), "no more is sound than there is");
    fuzz::require(sound == 0 || text[sound - 1] == '\n', "what is sound ends with a record");
    fuzz::require(store::sound_length(text.substr(0, sound), certain) == sound, "it stays so");
  } else if (const auto state = store::parse_durable_state(std::string(text))) {
    for (const auto& [path, offset] : state->streams) {
      fuzz::require(store::trusted_size(&*state, "now", path, 100) <= 100,
                    "no more is trusted than there is");
    }
  }
  return 0;
}
