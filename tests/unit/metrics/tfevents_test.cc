#include "collector/metrics/tfevents.h"

#include <gmock/gmock.h>

namespace muster::metrics {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using Status = RecordRead::Status;
using namespace std::string_literals;

TEST(Tfevents, ChecksumIsTensorFlows) {
  // RFC 3720, B.4: 32 bytes of zeros have the CRC-32C 0x8a9136aa.
  const std::uint32_t crc = 0x8A9136AAU;
  EXPECT_EQ(masked_crc32c(std::string(32, '\0')), ((crc >> 15) | (crc << 17)) + 0xA282EAD8U);
}

TEST(Tfevents, ReadsWhatItWrites) {
  const std::string file = version_record(1.5) + scalar_record(1'700'000'000.25, 7, "loss", 0.1) +
                           scalar_record(2, -1, "a/b", 3);
  std::string_view rest = file;
  std::vector<Sample> samples;
  int records = 0;
  while (!rest.empty()) {
    const RecordRead read = read_record(rest);
    ASSERT_EQ(read.status, Status::kWhole);
    EXPECT_TRUE(read_event(read.bytes, samples));
    rest.remove_prefix(read.size);
    ++records;
  }
  EXPECT_EQ(records, 3);
  EXPECT_THAT(samples, ElementsAre(Sample{"loss", 0.1F, 7, 1'700'000'000'250'000'000, ""},
                                   Sample{"a/b", 3, -1, 2'000'000'000, ""}));
}

TEST(Tfevents, ReadsSimpleValuesAndTensorsOfOneNumber) {
  const auto scalar_of = [](const std::string& value) {
    const std::string summary = "\x0a"s + static_cast<char>(value.size()) + value;
    std::vector<Sample> samples;
    EXPECT_TRUE(read_event("\x10\x05\x2a"s + static_cast<char>(summary.size()) + summary, samples));
    return samples;
  };
  // tag "x"; simple_value 1.5; float_val 1.5; packed double_val 1.5; int64_val 3; content of a
  // float
  EXPECT_EQ(scalar_of("\x0a\x01x\x15\x00\x00\xc0\x3f"s).at(0).value, 1.5);
  EXPECT_EQ(scalar_of("\x0a\x01x\x42\x07\x08\x01\x2d\x00\x00\xc0\x3f"s).at(0).value, 1.5);
  EXPECT_EQ(scalar_of("\x0a\x01x\x42\x0a\x32\x08\x00\x00\x00\x00\x00\x00\xf8\x3f"s).at(0).value,
            1.5);
  EXPECT_EQ(scalar_of("\x0a\x01x\x42\x02\x50\x03"s).at(0).value, 3);
  EXPECT_EQ(scalar_of("\x0a\x01x\x42\x08\x08\x01\x22\x04\x00\x00\xc0\x3f"s).at(0).value, 1.5);
  EXPECT_EQ(scalar_of("\x0a\x01x\x15\x00\x00\xc0\x3f"s).at(0).step, 5);
  // Two numbers, a text, a tag of a plugin's own.
  EXPECT_THAT(scalar_of("\x0a\x01x\x42\x0a\x2d\x00\x00\xc0\x3f\x2d\x00\x00\xc0\x3f"s), IsEmpty());
  EXPECT_THAT(scalar_of("\x0a\x01x\x42\x05\x08\x07\x42\x01y"s), IsEmpty());
  EXPECT_THAT(scalar_of("\x0a\x0b_hparams_/x\x15\x00\x00\xc0\x3f"s), IsEmpty());
}

TEST(Tfevents, TellsTornFromBroken) {
  const std::string record = scalar_record(1, 2, "loss", 3);
  for (std::size_t size = 0; size < record.size(); ++size) {
    EXPECT_EQ(read_record(std::string_view(record).substr(0, size)).status, Status::kIncomplete);
  }
  std::string bytes = record;
  bytes[20] ^= 1;
  EXPECT_EQ(read_record(bytes).status, Status::kBadBytes);
  EXPECT_EQ(read_record(bytes).size, record.size());
  bytes = record;
  bytes[0] ^= 1;
  EXPECT_EQ(read_record(bytes).status, Status::kBadHead);
  EXPECT_EQ(find_record(bytes + record), bytes.size());
  EXPECT_EQ(find_record(record), std::nullopt);
}

TEST(Tfevents, SkipsRecordsTooLargeForScalars) {
  std::string head(8, '\0');
  head[3] = 1;  // 16 MiB
  const std::uint32_t crc = masked_crc32c(head);
  head.append(reinterpret_cast<const char*>(&crc), 4);
  EXPECT_EQ(read_record(head).status, Status::kTooLarge);
  EXPECT_EQ(read_record(head).size, (1U << 24) + kRecordFrame);
}

TEST(Tfevents, RefusesBrokenEvents) {
  std::vector<Sample> samples;
  for (const std::string& event : {"\x09\x01"s, "\x2a\x05\x0a"s, "\x07"s, "\x00\x00"s,
                                   "\x10\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff"s}) {
    EXPECT_FALSE(read_event(event, samples));
  }
  EXPECT_THAT(samples, IsEmpty());
}

}  // namespace
}  // namespace muster::metrics
