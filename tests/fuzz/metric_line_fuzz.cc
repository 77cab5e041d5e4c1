// Lines of metrics, as ranks write them to their FIFO.

#include "collector/metrics/metric_line.h"
#include "tests/fuzz/fuzz_target.h"

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace muster;
  const std::string_view line = fuzz::text_of(data, size);
  std::vector<metrics::Sample> samples;
  const auto problem = metrics::read_metric_line(line, samples);
  fuzz::require(!problem || samples.empty(), "a bad line says nothing");
  fuzz::require(samples.size() <= 10'000, "a line says only so much");
  for (const metrics::Sample& sample : samples) {
    fuzz::require(!sample.name.empty() && sample.name.size() <= metrics::kLongestName,
                  "names are bounded");
    for (const char c : sample.name) {
      fuzz::require(static_cast<unsigned char>(c) >= 0x20, "names have no control characters");
    }
  }
  std::vector<metrics::Sample> again;
  metrics::read_metric_line(line, again);
  fuzz::require(samples.size() == again.size(), "the same line says the same");
  return 0;
}
