#include "collector/metrics/metric_line.h"

#include <algorithm>
#include <charconv>
#include <chrono>
#include <cmath>
#include <limits>
#include <map>
#include <string>

#include <nlohmann/json.hpp>

#include "base/time_text.h"

namespace muster::metrics {
namespace {

using Json = nlohmann::json;

constexpr int kDeepest = 8;
constexpr std::size_t kMostSamples = 10'000;
constexpr std::size_t kMostLabels = 16;

bool is_name(std::string_view name) {
  return !name.empty() && name.size() <= kLongestName &&
         std::none_of(name.begin(), name.end(),
                      [](char c) { return static_cast<unsigned char>(c) < 0x20 || c == 0x7f; });
}

// Sorted, so that the same labels are the same series whatever their order.
std::string joined(const std::map<std::string, std::string, std::less<>>& labels) {
  std::string text;
  for (const auto& [key, value] : labels) {
    if (!text.empty()) text += ',';
    text += key + '=' + value;
  }
  return text;
}

constexpr std::string_view kBadName =
    "a name in it is empty, of more than 255 bytes, or has control characters";
constexpr std::string_view kBadLabel =
    "a label is not key=value (no comma and no control character in it, up to 255 bytes each, 16 "
    "in all)";
static_assert(kLongestName == 255);

bool is_label(std::string_view key, std::string_view text) {
  return is_name(key) && key.find_first_of(",=") == key.npos && (text.empty() || is_name(text)) &&
         text.find(',') == text.npos;
}

std::optional<std::int64_t> parse_whole(std::string_view text) {
  std::int64_t number = 0;
  if (text.starts_with('+')) text.remove_prefix(1);
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc() || end != text.data() + text.size() || text.empty()) return std::nullopt;
  return number;
}

std::string_view next_word(std::string_view& text) {
  const std::size_t begin = text.find_first_not_of(" \t");
  if (begin == text.npos) {
    text = {};
    return {};
  }
  const std::size_t end = std::min(text.find_first_of(" \t", begin), text.size());
  const std::string_view word = text.substr(begin, end - begin);
  text.remove_prefix(end);
  return word;
}

std::optional<std::string_view> read_words(std::string_view line, std::vector<Sample>& samples) {
  const std::string_view name = next_word(line);
  const std::string_view number = next_word(line);
  if (!is_name(name)) return kBadName;
  if (number.empty()) return "a value is missing: it is `name value [step] [time_ns] [key=value]`";
  const auto value = parse_number(number);
  if (!value) return "its second word is no number";
  Sample sample{std::string(name), *value, std::nullopt, std::nullopt, {}};
  std::map<std::string, std::string, std::less<>> labels;
  for (std::string_view word = next_word(line); !word.empty(); word = next_word(line)) {
    const std::size_t equals = word.find('=');
    if (equals != word.npos) {
      const std::string_view key = word.substr(0, equals);
      const std::string_view text = word.substr(equals + 1);
      if (!is_label(key, text) || labels.size() == kMostLabels) return kBadLabel;
      labels[std::string(key)] = text;
      continue;
    }
    const auto whole = parse_whole(word);
    if (!whole || !labels.empty() || sample.time) {
      return "what follows the value is no step, no time in ns and no key=value";
    }
    (sample.step ? sample.time : sample.step) = whole;
  }
  sample.labels = joined(labels);
  samples.push_back(std::move(sample));
  return std::nullopt;
}

// A number, or one of the words that JSON has no number for.
std::optional<double> number_of(const Json& value) {
  if (value.is_number() || value.is_boolean()) {
    return value.is_boolean() ? (value.get<bool>() ? 1.0 : 0.0) : value.get<double>();
  }
  if (!value.is_string()) return std::nullopt;
  const auto& text = value.get_ref<const std::string&>();
  if (text == "NaN") return std::numeric_limits<double>::quiet_NaN();
  if (text == "Infinity") return std::numeric_limits<double>::infinity();
  if (text == "-Infinity") return -std::numeric_limits<double>::infinity();
  return std::nullopt;
}

std::optional<std::int64_t> whole_of(double number) {
  if (!(std::abs(number) < 9e18)) return std::nullopt;
  return static_cast<std::int64_t>(std::llround(number));
}

std::optional<std::int64_t> step_of(const Json& object) {
  for (const char* key : {"step", "global_step", "iteration"}) {
    const auto found = object.find(key);
    if (found == object.end() || !found->is_number()) continue;
    if (found->is_number_integer()) return found->get<std::int64_t>();
    return whole_of(found->get<double>());
  }
  return std::nullopt;
}

// Text as muster_azureml writes it; a number counts seconds, or what is more likely.
std::optional<std::int64_t> time_of(const Json& object) {
  for (const char* key : {"time_ns", "time", "timestamp"}) {
    const auto found = object.find(key);
    if (found == object.end()) continue;
    if (found->is_string()) {
      const auto time = parse_time(found->get_ref<const std::string&>());
      if (!time) return std::nullopt;
      return std::chrono::duration_cast<std::chrono::nanoseconds>(time->time_since_epoch()).count();
    }
    if (!found->is_number()) continue;
    const auto number = found->get<double>();
    if (std::abs(number) >= 1e17) {
      return found->is_number_integer() ? found->get<std::int64_t>() : whole_of(number);
    }
    return whole_of(number >= 1e11 ? number * 1e6 : number * 1e9);
  }
  return std::nullopt;
}

std::string text_of(const Json& value) {
  return value.is_string() ? value.get<std::string>()
                           : value.dump(-1, ' ', false, Json::error_handler_t::replace);
}

// nullopt: without one of them its values would be another series'.
std::optional<std::string> labels_of(const Json& object) {
  const auto found = object.find("labels");
  if (found == object.end() || found->is_null()) return std::string();
  if (!found->is_object() || found->size() > kMostLabels) return std::nullopt;
  std::map<std::string, std::string, std::less<>> labels;
  for (const auto& [key, value] : found->items()) {
    if (value.is_structured()) return std::nullopt;
    std::string text = text_of(value);
    if (!is_label(key, text)) return std::nullopt;
    labels[key] = std::move(text);
  }
  return joined(labels);
}

// What a line says about its values, beside them.  `epoch` and `rank` are so for muster_azureml.
bool is_beside(std::string_view key) {
  constexpr std::string_view kBeside[] = {"time",  "time_ns",     "timestamp",
                                          "step",  "global_step", "iteration",
                                          "epoch", "rank",        "labels"};
  return std::find(std::begin(kBeside), std::end(kBeside), key) != std::end(kBeside);
}

class ObjectReader {
 public:
  ObjectReader(const Json& object, std::vector<Sample>& samples)
      : step_(step_of(object)),
        time_(time_of(object)),
        labels_(labels_of(object)),
        is_empty_(object.empty()),
        samples_(samples) {}

  // What is left out, the first of it.
  std::optional<std::string_view> problem() const {
    if (!problem_ && count_ == 0 && !is_empty_) return "there is no number in it: texts and lists are none";
    return problem_;
  }

  bool is_sound() const { return !problem_; }

  void add(const std::string& name, const Json& value, bool numbered = false) {
    const auto number = number_of(value);
    if (!number) return;
    if (!labels_) return leave_out(kBadLabel);
    if (!is_name(name)) return leave_out(kBadName);
    if (count_ == kMostSamples) return leave_out("it has more than 10000 values");
    ++count_;
    // Values of one line and one name are told apart by their number alone.
    samples_.push_back({name, *number, numbered ? std::nullopt : step_,
                        numbered ? std::nullopt : time_, *labels_});
  }

  void add_all(const std::string& name, const Json& value) {
    if (!value.is_array()) return add(name, value);
    for (const Json& each : value) add(name, each, true);
  }

  void add_members(const std::string& prefix, const Json& object, int depth) {
    for (const auto& [key, value] : object.items()) {
      if (depth == 0 && is_beside(key)) continue;
      const std::string name = prefix.empty() ? key : prefix + "/" + key;
      if (value.is_object()) {
        if (depth == kDeepest) return leave_out("objects in it are more than 8 deep");
        add_members(name, value, depth + 1);
      } else if (!value.is_string() || depth > 0 || number_of(value)) {
        add(name, value);
      }
    }
  }

 private:
  void leave_out(std::string_view why) {
    if (!problem_) problem_ = why;
  }

  std::optional<std::int64_t> step_;
  std::optional<std::int64_t> time_;
  std::optional<std::string> labels_;
  bool is_empty_;
  std::optional<std::string_view> problem_;
  std::vector<Sample>& samples_;
  std::size_t count_ = 0;
};

// {"time": …, "gpu": 0, "values": {"gpu.percent": 98}}: what stands beside the values are labels.
// A node's metrics are such lines (docs/node-metrics.md).
Json with_labels(const Json& object, const Json& values) {
  Json flat = values;
  Json labels = Json::object();
  for (const auto& [key, value] : object.items()) {
    if (key == "labels" && value.is_object()) labels.update(value);
    if (value.is_structured()) continue;
    const bool said = is_beside(key) && key != "rank" && key != "epoch";
    if (said) {
      flat[key] = value;
    } else if (key != "node" && !value.is_null()) {
      labels[key] = value;
    }
  }
  flat["labels"] = std::move(labels);
  return flat;
}

std::optional<std::string_view> read_object(const Json& object, std::vector<Sample>& samples) {
  const auto values = object.find("values");
  if (values != object.end() && values->is_object()) {
    const Json flat = with_labels(object, *values);
    ObjectReader reader(flat, samples);
    reader.add_members("", flat, 0);
    // A node has nothing to say of a GPU at times.
    return values->empty() ? std::nullopt : reader.problem();
  }
  ObjectReader reader(object, samples);
  const auto name = object.find("name");
  const auto value = object.find("value");
  if (name == object.end() || !name->is_string() || value == object.end()) {
    reader.add_members("", object, 0);
    return reader.problem();
  }
  const auto& text = name->get_ref<const std::string&>();
  const auto type = object.find("type");
  if (type != object.end() && *type == "tag") return std::nullopt;
  const std::size_t before = samples.size();
  if (value->is_object()) {  // a row, or the columns of a table
    for (const auto& [column, each] : value->items()) reader.add_all(text + "/" + column, each);
  } else {
    reader.add_all(text, *value);
  }
  // Texts and pictures of muster_azureml are no mistakes.
  const bool is_typed = type != object.end() && *type != "scalar" && samples.size() == before;
  const auto problem = reader.problem();
  return is_typed && reader.is_sound() ? std::nullopt : problem;
}

// Python's json writes NaN and Infinity, which JSON does not have: the same line with these words
// as texts.  "" when it has none.
std::string with_quoted_words(std::string_view line) {
  std::string result;
  bool inside = false;
  bool changed = false;
  for (std::size_t i = 0; i < line.size(); ++i) {
    const char c = line[i];
    if (inside && c == '\\' && i + 1 < line.size()) {
      result += c;
      result += line[++i];
      continue;
    }
    if (c == '"') inside = !inside;
    const std::string_view rest = line.substr(i);
    std::string_view word;
    if (!inside) {
      for (const std::string_view each : {"-Infinity", "Infinity", "NaN"}) {
        if (rest.starts_with(each)) {
          word = each;
          break;
        }
      }
    }
    if (word.empty()) {
      result += c;
      continue;
    }
    result += '"';
    result += word;
    result += '"';
    i += word.size() - 1;
    changed = true;
  }
  return changed ? result : std::string();
}

std::optional<std::string_view> read_json(std::string_view line, std::vector<Sample>& samples) {
  Json object = Json::parse(line, nullptr, false);
  if (object.is_discarded()) {
    const std::string quoted = with_quoted_words(line);
    if (!quoted.empty()) object = Json::parse(quoted, nullptr, false);
  }
  if (!object.is_object()) return "it begins like a JSON object and is none";
  return read_object(object, samples);
}

}  // namespace

std::optional<double> parse_number(std::string_view text) {
  if (text.starts_with('+')) text.remove_prefix(1);
  if (text.starts_with('+') || text.empty()) return std::nullopt;
  double value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (end != text.data() + text.size()) return std::nullopt;
  if (error == std::errc()) return value;
  if (error != std::errc::result_out_of_range) return std::nullopt;
  // 1e-400 and 1e400: as every other reader takes them.
  const bool negative = text.starts_with('-');
  const std::size_t exponent = text.find_first_of("eE");
  const bool tiny = exponent != text.npos && text.substr(exponent + 1).starts_with('-');
  const double size = tiny ? 0.0 : std::numeric_limits<double>::infinity();
  return negative ? -size : size;
}

std::optional<std::string_view> read_metric_line(std::string_view line,
                                                 std::vector<Sample>& samples) {
  while (!line.empty() && (line.back() == '\r' || line.back() == ' ' || line.back() == '\t')) {
    line.remove_suffix(1);
  }
  const std::size_t begin = line.find_first_not_of(" \t");
  if (begin == line.npos) return std::nullopt;
  line.remove_prefix(begin);
  if (line.size() > kLongestMetricLine) return "it is longer than 1 MiB";
  return line.front() == '{' ? read_json(line, samples) : read_words(line, samples);
}

}  // namespace muster::metrics
