// Patterns as users write them, and lines to apply them to, divided by "%%".

#include "collector/metrics/patterns.h"
#include "tests/fuzz/fuzz_target.h"

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace muster;
  const auto parts = fuzz::parts_of(fuzz::text_of(data, size));
  const auto spec = metrics::read_pattern(parts.front());
  if (!spec) {
    fuzz::require(!spec.error().hint.empty() || parts.front().size() > 255, "what to do is said");
    return 0;
  }
  const auto patterns = metrics::Patterns::compile(std::span(&*spec, 1));
  if (!patterns) {
    fuzz::require(patterns.error().message.find('\x1b') == std::string::npos,
                  "messages are safe for a terminal");
    return 0;
  }
  std::vector<metrics::Sample> samples;
  for (const std::string_view line : parts) {
    patterns->apply(line, samples);
    fuzz::require(samples.size() <= 200 * parts.size(), "a line says only so much");
  }
  return 0;
}
