#include "collector/metrics/tfevents.h"

#include <array>
#include <bit>
#include <cmath>
#include <cstring>

namespace muster::metrics {
namespace {

static_assert(std::endian::native == std::endian::little);

// Eight tables: eight bytes a step.
using Tables = std::array<std::array<std::uint32_t, 256>, 8>;

constexpr Tables make_tables() {
  Tables tables{};
  for (std::uint32_t i = 0; i < 256; ++i) {
    std::uint32_t value = i;
    for (int bit = 0; bit < 8; ++bit) value = (value >> 1) ^ ((value & 1U) != 0 ? 0x82F63B78U : 0U);
    tables[0][i] = value;
  }
  for (std::uint32_t i = 0; i < 256; ++i) {
    for (std::size_t t = 1; t < 8; ++t) {
      tables[t][i] = (tables[t - 1][i] >> 8) ^ tables[0][tables[t - 1][i] & 0xFFU];
    }
  }
  return tables;
}

constexpr Tables kTables = make_tables();

template <typename T>
T load(std::string_view bytes, std::size_t at = 0) {
  T value{};
  std::memcpy(&value, bytes.data() + at, sizeof value);
  return value;
}

template <typename T>
void store(std::string& out, T value) {
  char bytes[sizeof value];
  std::memcpy(bytes, &value, sizeof value);
  out.append(bytes, sizeof bytes);
}

std::uint32_t crc32c(std::string_view bytes) {
  std::uint32_t crc = ~0U;
  while (bytes.size() >= 8) {
    const std::uint64_t word = load<std::uint64_t>(bytes) ^ crc;
    crc = 0;
    for (std::size_t i = 0; i < 8; ++i) crc ^= kTables[7 - i][(word >> (8 * i)) & 0xFFU];
    bytes.remove_prefix(8);
  }
  for (const char c : bytes) {
    crc = (crc >> 8) ^ kTables[0][(crc ^ static_cast<unsigned char>(c)) & 0xFFU];
  }
  return ~crc;
}

// Protobuf's wire format, without a schema.
struct Field {
  std::uint64_t number = 0;
  unsigned type = 0;            // 0 varint, 1 eight bytes, 2 bytes, 5 four bytes
  std::uint64_t value = 0;      // of 0, 1 and 5
  std::string_view bytes = {};  // of 2
};

class Fields {
 public:
  explicit Fields(std::string_view message) : rest_(message) {}

  // False at the end, and where the message is broken.
  bool next(Field& field) {
    if (rest_.empty()) return false;
    std::uint64_t key = 0;
    if (!varint(key)) return broken();
    field = {key >> 3, static_cast<unsigned>(key & 7U), 0, {}};
    if (field.number == 0) return broken();
    std::uint64_t size = 0;
    switch (field.type) {
      case 0: return varint(field.value) || broken();
      case 1: return fixed<std::uint64_t>(field.value) || broken();
      case 5: return fixed<std::uint32_t>(field.value) || broken();
      case 2:
        if (!varint(size) || size > rest_.size()) return broken();
        field.bytes = rest_.substr(0, size);
        rest_.remove_prefix(size);
        return true;
      default: return broken();
    }
  }

  bool sound() const { return !broken_; }

 private:
  bool broken() {
    broken_ = true;
    return false;
  }

  bool varint(std::uint64_t& value) {
    value = 0;
    for (unsigned shift = 0; shift < 64 && !rest_.empty(); shift += 7) {
      const auto byte = static_cast<unsigned char>(rest_.front());
      rest_.remove_prefix(1);
      value |= static_cast<std::uint64_t>(byte & 0x7FU) << shift;
      if ((byte & 0x80U) == 0) return true;
    }
    return false;
  }

  template <typename T>
  bool fixed(std::uint64_t& value) {
    if (rest_.size() < sizeof(T)) return false;
    value = load<T>(rest_);
    rest_.remove_prefix(sizeof(T));
    return true;
  }

  std::string_view rest_;
  bool broken_ = false;
};

double float_of(std::uint64_t bits) {
  return static_cast<double>(std::bit_cast<float>(static_cast<std::uint32_t>(bits)));
}

double double_of(std::uint64_t bits) {
  return std::bit_cast<double>(bits);
}

// The only element of a tensor of one number; nullopt for any other tensor.
class TensorReader {
 public:
  bool read(std::string_view tensor) {
    Fields fields(tensor);
    Field field;
    while (fields.next(field)) {
      if (field.number == 1 && field.type == 0) dtype_ = field.value;
      if (field.number == 4 && field.type == 2) content_ = field.bytes;
      if (field.number == 5) elements<std::uint32_t>(field, float_of);
      if (field.number == 6) elements<std::uint64_t>(field, double_of);
      if (field.number == 7 || field.number == 10) whole_numbers(field);
    }
    return fields.sound();
  }

  std::optional<double> only() const {
    constexpr std::uint64_t kFloat = 1, kDouble = 2, kInt32 = 3, kInt64 = 9;
    if (count_ == 1) return value_;
    if (count_ > 1) return std::nullopt;
    if (dtype_ == kFloat && content_.size() == 4) return load<float>(content_);
    if (dtype_ == kDouble && content_.size() == 8) return load<double>(content_);
    if (dtype_ == kInt32 && content_.size() == 4) return load<std::int32_t>(content_);
    if (dtype_ == kInt64 && content_.size() == 8) {
      return static_cast<double>(load<std::int64_t>(content_));
    }
    return std::nullopt;
  }

 private:
  void one(double value) {
    ++count_;
    value_ = value;
  }

  // One by one, or packed.
  template <typename T>
  void elements(const Field& field, double (*value)(std::uint64_t)) {
    if (field.type != 2) return one(value(field.value));
    for (std::size_t at = 0; at + sizeof(T) <= field.bytes.size(); at += sizeof(T)) {
      one(value(load<T>(field.bytes, at)));
    }
  }

  void whole_numbers(const Field& field) {
    if (field.type != 2) return one(static_cast<double>(std::bit_cast<std::int64_t>(field.value)));
    std::uint64_t value = 0;
    unsigned shift = 0;
    for (const char c : field.bytes) {
      const auto byte = static_cast<unsigned char>(c);
      if (shift < 64) value |= static_cast<std::uint64_t>(byte & 0x7FU) << shift;
      shift += 7;
      if ((byte & 0x80U) != 0) continue;
      one(static_cast<double>(std::bit_cast<std::int64_t>(value)));
      value = 0;
      shift = 0;
    }
  }

  std::uint64_t dtype_ = 0;
  std::string_view content_;
  std::size_t count_ = 0;
  double value_ = 0;
};

struct Value {
  std::string_view tag;
  std::optional<double> number;
};

bool read_value(std::string_view message, Value& value) {
  Fields fields(message);
  Field field;
  while (fields.next(field)) {
    if (field.number == 1 && field.type == 2) value.tag = field.bytes;
    if (field.number == 2 && field.type == 5) value.number = float_of(field.value);
    if (field.number == 8 && field.type == 2) {
      TensorReader tensor;
      if (!tensor.read(field.bytes)) return false;
      value.number = tensor.only();
    }
  }
  return fields.sound();
}

// "_hparams_/…" and the like are a plugin's own.
bool is_tag(std::string_view tag) {
  if (tag.empty() || tag.size() > kLongestName || tag.starts_with("_hparams_/")) return false;
  for (const char c : tag) {
    if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f) return false;
  }
  return true;
}

// In parts: together they have more digits than a double.
std::optional<std::int64_t> nanoseconds(double seconds) {
  if (!(std::abs(seconds) < 9e9)) return std::nullopt;
  const double whole = std::floor(seconds);
  return static_cast<std::int64_t>(whole) * 1'000'000'000 +
         static_cast<std::int64_t>(std::llround((seconds - whole) * 1e9));
}

void put_varint(std::string& out, std::uint64_t value) {
  while (value >= 0x80U) {
    out += static_cast<char>(0x80U | (value & 0x7FU));
    value >>= 7;
  }
  out += static_cast<char>(value);
}

void put_bytes(std::string& out, char key, std::string_view bytes) {
  out += key;
  put_varint(out, bytes.size());
  out += bytes;
}

std::string record_of(std::string_view bytes) {
  std::string record;
  record.reserve(bytes.size() + kRecordFrame);
  store<std::uint64_t>(record, bytes.size());
  store(record, masked_crc32c(record));
  record += bytes;
  store(record, masked_crc32c(bytes));
  return record;
}

}  // namespace

std::uint32_t masked_crc32c(std::string_view bytes) {
  return std::rotr(crc32c(bytes), 15) + 0xA282EAD8U;
}

RecordRead read_record(std::string_view bytes) {
  RecordRead read;
  if (bytes.size() < kRecordHead) return read;
  const auto length = load<std::uint64_t>(bytes);
  if (load<std::uint32_t>(bytes, 8) != masked_crc32c(bytes.substr(0, 8)) ||
      length > UINT64_MAX - kRecordFrame) {
    read.status = RecordRead::Status::kBadHead;
    return read;
  }
  read.size = length + kRecordFrame;
  if (length > kLargestRecord) {
    read.status = RecordRead::Status::kTooLarge;
    return read;
  }
  if (bytes.size() < read.size) return read;
  const std::string_view data = bytes.substr(kRecordHead, length);
  if (load<std::uint32_t>(bytes, kRecordHead + length) != masked_crc32c(data)) {
    read.status = RecordRead::Status::kBadBytes;
    return read;
  }
  read.status = RecordRead::Status::kWhole;
  read.bytes = data;
  return read;
}

std::optional<std::size_t> find_record(std::string_view bytes) {
  for (std::size_t at = 1; at + kRecordHead <= bytes.size(); ++at) {
    const auto status = read_record(bytes.substr(at)).status;
    if (status != RecordRead::Status::kBadHead) return at;
  }
  return std::nullopt;
}

bool read_event(std::string_view event, std::vector<Sample>& samples) {
  double wall_time = 0;
  std::int64_t step = 0;
  std::vector<Value> values;
  Fields fields(event);
  Field field;
  while (fields.next(field)) {
    if (field.number == 1 && field.type == 1) wall_time = double_of(field.value);
    if (field.number == 2 && field.type == 0) step = std::bit_cast<std::int64_t>(field.value);
    if (field.number != 5 || field.type != 2) continue;
    Fields summary(field.bytes);
    Field each;
    while (summary.next(each)) {
      if (each.number != 1 || each.type != 2) continue;
      Value value;
      if (!read_value(each.bytes, value)) return false;
      if (value.number && is_tag(value.tag)) values.push_back(value);
    }
    if (!summary.sound()) return false;
  }
  if (!fields.sound()) return false;
  const std::optional<std::int64_t> time = nanoseconds(wall_time);
  for (const Value& value : values) {
    samples.push_back({std::string(value.tag), *value.number, step, time, {}});
  }
  return true;
}

std::string version_record(double wall_time) {
  std::string event(1, '\x09');
  store(event, wall_time);
  put_bytes(event, '\x1a', "brain.Event:2");
  return record_of(event);
}

// simple_value is a float, and what every reader knows: TensorBoard's own in its default mode
// passes over tensors of doubles, and its EventAccumulator has no scalars of tensors.
std::string scalar_record(double wall_time, std::int64_t step, std::string_view tag, double value) {
  std::string summary_value;
  put_bytes(summary_value, '\x0a', tag);
  summary_value += '\x15';
  store(summary_value, static_cast<float>(value));
  std::string summary;
  put_bytes(summary, '\x0a', summary_value);
  std::string event(1, '\x09');
  store(event, wall_time);
  event += '\x10';
  put_varint(event, std::bit_cast<std::uint64_t>(step));
  put_bytes(event, '\x2a', summary);
  return record_of(event);
}

}  // namespace muster::metrics
