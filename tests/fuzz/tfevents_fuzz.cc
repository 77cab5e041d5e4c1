// Event files: as they stand, and as one Event whose frame is sound.

#include "collector/metrics/tfevents.h"
#include "tests/fuzz/fuzz_target.h"

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace muster;
  const std::string_view bytes = fuzz::text_of(data, size);
  std::vector<metrics::Sample> samples;
  metrics::read_event(bytes, samples);
  std::string_view rest = bytes;
  while (!rest.empty()) {
    const metrics::RecordRead read = metrics::read_record(rest);
    if (read.status == metrics::RecordRead::Status::kWhole) {
      fuzz::require(read.bytes.size() + metrics::kRecordFrame == read.size, "a record has a frame");
      metrics::read_event(read.bytes, samples);
    }
    const auto next = metrics::find_record(rest);
    if (!next) break;
    fuzz::require(*next > 0 && *next < rest.size(), "resynchronising goes on");
    rest.remove_prefix(*next);
  }
  for (const metrics::Sample& sample : samples) {
    fuzz::require(!sample.name.empty() && sample.name.size() <= metrics::kLongestName,
                  "names are bounded");
    const std::string record =
        metrics::scalar_record(1, sample.step.value_or(0), sample.name, sample.value);
    std::vector<metrics::Sample> again;
    fuzz::require(metrics::read_event(metrics::read_record(record).bytes, again) &&
                      again.size() == 1 && again[0].name == sample.name,
                  "what is written is read");
  }
  return 0;
}
