// read_document(): any bytes as YAML.

#include "launcher/config/document.h"
#include "tests/fuzz/fuzz_target.h"

namespace {

using muster::config::Node;
using muster::config::Place;
using muster::fuzz::require;

void check_place(Place place, const muster::config::SourceText& source) {
  require(place.line >= 1 && place.column >= 1, "places count from 1");
  static_cast<void>(source.location(place));
}

// Walks the whole tree: an alias may show a node often, so the walk is bounded as a reader's is.
void walk(const Node& node, const muster::config::SourceText& source, int& left) {
  if (--left < 0) return;
  for (const auto& item : node.items) {
    require(item != nullptr, "a list has no empty places");
    walk(*item, source, left);
  }
  for (std::size_t at = 0; at < node.entries.size(); ++at) {
    const auto& entry = node.entries[at];
    require(entry.value != nullptr, "a key has a value");
    check_place(entry.key_place, source);
    check_place(entry.value_place, source);
    if (at > 32) continue;
    for (std::size_t other = 0; other < at; ++other) {
      require(node.entries[other].key != entry.key, "each key stands once");
    }
    walk(*entry.value, source, left);
  }
}

}  // namespace

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const muster::config::SourceText source(muster::fuzz::text_of(data, size), "run.yaml");
  const auto document = muster::config::read_document(source);
  int left = 10'000;
  if (document.root) walk(*document.root, source, left);
  return 0;
}
