// Event files of TensorBoard, as far as scalars go: reading and writing.
//
// A file is a sequence of TFRecords: u64 length, u32 masked CRC-32C of those 8 bytes, the bytes,
// u32 masked CRC-32C of them; little-endian.  Each holds one Event message; the fields that matter
// here are read by hand, so that no protobuf schema of TensorFlow is needed.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "collector/metrics/sample.h"

namespace muster::metrics {

// Larger ones hold images or graphs, no scalars; they are skipped without being read.
constexpr std::uint64_t kLargestRecord = 1 << 20;
constexpr std::size_t kRecordHead = 12;
constexpr std::size_t kRecordFrame = kRecordHead + 4;

std::uint32_t masked_crc32c(std::string_view bytes);

struct RecordRead {
  enum class Status {
    kWhole,
    kIncomplete,  // more bytes are needed, `size` in total (unknown: kRecordHead)
    kTooLarge,    // sound so far, larger than kLargestRecord
    kBadHead,     // its length is not what its checksum says: torn, or no record
    kBadBytes,    // its length is sound, its bytes are not
  };
  Status status = Status::kIncomplete;
  std::uint64_t size = kRecordHead;  // of the whole record
  std::string_view bytes = {};       // of kWhole
};

// The record that `bytes` begin with.
RecordRead read_record(std::string_view bytes);

// Where, behind the first byte, the next record may begin; nullopt: none does.
std::optional<std::size_t> find_record(std::string_view bytes);

// Appends the scalars of an Event.  False: it is no Event.
bool read_event(std::string_view event, std::vector<Sample>& samples);

// For files of our own.  Each is a whole record; values are floats there.
std::string version_record(double wall_time);
std::string scalar_record(double wall_time, std::int64_t step, std::string_view tag, double value);

}  // namespace muster::metrics
