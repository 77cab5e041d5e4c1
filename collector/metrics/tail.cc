#include "collector/metrics/tail.h"

#include <algorithm>
#include <limits>

namespace muster::metrics {

Result<> Tail::look(bool final, const Use& use) {
  for (const Source& source : find_sources(run_.root(), !patterns_.empty())) {
    const std::size_t times = source.kind == Source::Kind::kText ? patterns_.size() : 1;
    for (std::size_t i = 0; i < times; ++i) {
      const Patterns* patterns = source.kind == Source::Kind::kText ? &patterns_[i] : nullptr;
      const std::string stream = source.origin.stream + "#" + std::to_string(i);
      const auto [place, added] =
          followed_.try_emplace(stream, Followed{SourceReader(source, patterns), {}, {}});
      // What is there already counts the steps of what comes.
      static const Use kNothing = [](const Origin&, const Sample&) {};
      MUSTER_TRY(read(place->second, final, begun_ ? use : kNothing));
    }
  }
  begun_ = true;
  return {};
}

Result<> Tail::read(Followed& followed, bool final, const Use& use) {
  while (true) {
    MUSTER_TRY_ASSIGN(Block block, followed.reader.read(followed.cursor, final));
    for (Sample& sample : block.samples) {
      std::int64_t& next = followed.next_step[sample.name + '\0' + sample.labels];
      if (!sample.step) sample.step = next;
      if (*sample.step < std::numeric_limits<std::int64_t>::max()) {
        next = std::max(next, *sample.step + 1);
      }
      use(followed.reader.source().origin, sample);
    }
    followed.cursor = std::move(block.after);
    if (!block.more) return {};
  }
}

}  // namespace muster::metrics
