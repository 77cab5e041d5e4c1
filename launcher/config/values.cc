#include "launcher/config/values.h"

#include <algorithm>
#include <optional>
#include <vector>

#include "base/text.h"
#include "launcher/config/problems.h"

namespace muster::config {
namespace {

constexpr std::chrono::hours kLongestDuration{24 * 365 * 10};
constexpr Milliseconds kShortestInterval{100};

tl::unexpected<Unfit> unfit(std::string why, std::string hint = {}) {
  return tl::unexpected<Unfit>(Unfit{std::move(why), std::move(hint)});
}

bool is_digit(char c) {
  return c >= '0' && c <= '9';
}

bool all_digits(std::string_view text) {
  return !text.empty() && std::all_of(text.begin(), text.end(), is_digit);
}

// Digits, perhaps with a minus sign.  No 1e3, 4.0, 0x10 or 010: each of them is another number to
// somebody.
Parsed<std::int64_t> parse_whole_number(std::string_view text) {
  if (text.empty()) return unfit("the value is empty");
  const std::string_view digits = text.starts_with('-') ? text.substr(1) : text;
  if (!all_digits(digits)) return unfit(in_quotes(text) + " is not a whole number");
  if (digits.size() > 1 && digits.front() == '0')
    return unfit(in_quotes(text) + " has a leading zero");
  const auto number = parse_integer(text);
  if (!number) return unfit(std::string(text.substr(0, 20)) + "… is too large a number");
  return *number;
}

template <typename E, std::size_t N>
Parsed<E> parse_name(std::string_view text,
                     const std::array<std::pair<std::string_view, E>, N>& names) {
  std::vector<std::string> known;
  for (const auto& [name, value] : names) {
    if (text == name) return value;
    known.emplace_back(name);
  }
  if (text.empty()) return unfit("the value is empty");
  std::string lower(text);
  std::transform(lower.begin(), lower.end(), lower.begin(), [](char c) {
    return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
  });
  return unfit(in_quotes(text) + " is not one of " + join(known, ", "),
               did_you_mean_hint(lower, known));
}

struct Unit {
  std::string_view name;
  std::int64_t milliseconds;
};

constexpr std::array<Unit, 5> kUnits{
    {{"ms", 1}, {"s", 1000}, {"m", 60'000}, {"h", 3'600'000}, {"", 1000}}};

}  // namespace

Parsed<std::string> parse_text(std::string_view text) {
  if (text.empty()) return unfit("the value is empty");
  return std::string(text);
}

Parsed<int> parse_whole(std::string_view text, int least, int most) {
  const auto number = parse_whole_number(text);
  if (!number) return tl::unexpected<Unfit>(number.error());
  if (*number < least) return unfit(std::string(text) + " is less than " + std::to_string(least));
  if (*number > most) return unfit(std::string(text) + " is more than " + std::to_string(most));
  return static_cast<int>(*number);
}

Parsed<int> parse_count(std::string_view text, int least) {
  return parse_whole(text, least, kMostCount);
}

Parsed<std::optional<int>> parse_count_or_auto(std::string_view text, int least) {
  if (text == "auto") return std::optional<int>();
  return parse_count(text, least).map([](int count) { return std::optional<int>(count); });
}

Parsed<Milliseconds> parse_duration(std::string_view text) {
  if (text.empty()) return unfit("the value is empty");
  const std::size_t digits = std::min(text.find_first_not_of("0123456789"), text.size());
  const std::string_view unit_name = text.substr(digits);
  const auto* unit = std::find_if(kUnits.begin(), kUnits.end(),
                                  [&](const Unit& each) { return each.name == unit_name; });
  if (digits == 0 || unit == kUnits.end()) return unfit(in_quotes(text) + " is not a duration");
  const auto number = parse_integer(text.substr(0, digits));
  constexpr std::int64_t kMost = std::chrono::milliseconds(kLongestDuration).count();
  if (!number || *number > kMost / unit->milliseconds) {
    return unfit(in_quotes(text) + " is more than ten years");
  }
  return Milliseconds(*number * unit->milliseconds);
}

Parsed<Milliseconds> parse_positive_duration(std::string_view text) {
  auto duration = parse_duration(text);
  if (duration && *duration == Milliseconds(0)) {
    return unfit(in_quotes(text) + " leaves no time at all");
  }
  return duration;
}

Parsed<std::optional<Milliseconds>> parse_budget(std::string_view text) {
  if (text == "none") return std::optional<Milliseconds>();
  return parse_positive_duration(text).map(
      [](Milliseconds budget) { return std::optional<Milliseconds>(budget); });
}

Parsed<std::optional<Milliseconds>> parse_interval(std::string_view text) {
  auto interval = parse_budget(text);
  if (interval && *interval && **interval < kShortestInterval) {
    return unfit(in_quotes(text) + " is less than 100ms");
  }
  return interval;
}

Parsed<std::optional<std::chrono::seconds>> parse_run_duration(std::string_view text) {
  const auto number = parse_whole_number(text);
  if (!number) return tl::unexpected<Unfit>(number.error());
  if (*number < 1) return unfit(std::string(text) + " is less than 1");
  const std::chrono::seconds longest = kLongestDuration;
  if (*number > longest.count())
    return unfit(std::string(text) + " seconds are more than ten years");
  return std::optional(std::chrono::seconds(*number));
}

Parsed<std::string> parse_size(std::string_view text) {
  if (text.empty()) return unfit("the value is empty");
  const std::size_t digits = std::min(text.find_first_not_of("0123456789"), text.size());
  const std::string_view unit = text.substr(digits);
  const bool known_unit =
      unit.empty() ||
      (unit.size() == 1 && std::string_view("bkmgBKMG").find(unit[0]) != std::string_view::npos);
  if (digits == 0 || !known_unit) return unfit(in_quotes(text) + " is not a size");
  return std::string(text);
}

Parsed<std::int64_t> parse_byte_count(std::string_view text) {
  if (auto size = parse_size(text); !size) return tl::unexpected<Unfit>(size.error());
  const std::size_t digits = std::min(text.find_first_not_of("0123456789"), text.size());
  const auto number = parse_integer(text.substr(0, digits));
  int shift = 0;
  if (digits < text.size()) {
    switch (text[digits] | 0x20) {
      case 'k': shift = 10; break;
      case 'm': shift = 20; break;
      case 'g': shift = 30; break;
      default: break;
    }
  }
  constexpr std::int64_t kMost = std::int64_t{1} << 60;
  if (!number || *number > (kMost >> shift)) return unfit(in_quotes(text) + " is too large a size");
  if (*number == 0) return unfit(in_quotes(text) + " leaves no room at all");
  return *number << shift;
}

Parsed<std::optional<std::int64_t>> parse_bound(std::string_view text) {
  if (text == "none") return std::optional<std::int64_t>();
  return parse_byte_count(text).map(
      [](std::int64_t size) { return std::optional<std::int64_t>(size); });
}

Parsed<bool> parse_bool(std::string_view text) {
  constexpr std::array<std::pair<std::string_view, bool>, 8> kNames{{{"true", true},
                                                                     {"false", false},
                                                                     {"yes", true},
                                                                     {"no", false},
                                                                     {"True", true},
                                                                     {"False", false},
                                                                     {"TRUE", true},
                                                                     {"FALSE", false}}};
  for (const auto& [name, value] : kNames) {
    if (text == name) return value;
  }
  return unfit(in_quotes(text) + " is neither true nor false");
}

Parsed<GpuAssignment> parse_gpu_assignment(std::string_view text) {
  return parse_name(text, kGpuAssignmentNames);
}

Parsed<GpuVisibility> parse_gpu_visibility(std::string_view text) {
  return parse_name(text, kGpuVisibilityNames);
}

Parsed<CoreLayout> parse_layout(std::string_view text) {
  return parse_name(text, kLayoutNames);
}

Parsed<WhenFull> parse_when_full(std::string_view text) {
  return parse_name(text, kWhenFullNames);
}

Parsed<MemoryPolicy> parse_memory_policy(std::string_view text) {
  return parse_name(text, kMemoryPolicyNames);
}

Parsed<Binder> parse_binder(std::string_view text) {
  return parse_name(text, kBinderNames);
}

Parsed<NicVisibility> parse_nic_visibility(std::string_view text) {
  return parse_name(text, kNicVisibilityNames);
}

Parsed<ThreadVariables> parse_thread_variables(std::string_view text) {
  return parse_name(text, kThreadVariablesNames);
}

Parsed<OmpBinding> parse_omp_binding(std::string_view text) {
  return parse_name(text, kOmpBindingNames);
}

Parsed<ThreadCount> parse_thread_count(std::string_view text) {
  if (text == "auto") return ThreadCount{};
  if (text == "keep") return ThreadCount{ThreadCount::Kind::kKeep, 0};
  auto number = parse_count(text, 1);
  if (!number) return tl::unexpected<Unfit>(std::move(number).error());
  return ThreadCount{ThreadCount::Kind::kNumber, *number};
}

Parsed<DataMode> parse_data_mode(std::string_view text) {
  return parse_name(text, kDataModeNames);
}

Parsed<DataType> parse_data_type(std::string_view text) {
  return parse_name(text, kDataTypeNames);
}

Parsed<CondaBy> parse_conda_by(std::string_view text) {
  return parse_name(text, kCondaByNames);
}

Parsed<Backend> parse_backend(std::string_view text) {
  return parse_name(text, kBackendNames);
}

Parsed<Oversubscribe> parse_oversubscribe(std::string_view text) {
  return parse_name(text, kOversubscribeNames);
}

Parsed<MpiIdentity> parse_mpi_identity(std::string_view text) {
  return parse_name(text, kMpiIdentityNames);
}

Unfit check_variable_name(std::string_view name) {
  const bool well_formed =
      !name.empty() && !is_digit(name.front()) && std::all_of(name.begin(), name.end(), [](char c) {
        return is_digit(c) || c == '_' || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
      });
  if (!well_formed) {
    return {in_quotes(name) + " is not a name of an environment variable",
            "use letters, digits and _, and no digit first"};
  }
  constexpr std::array<std::string_view, 6> kIdentities{
      "RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE", "NODE_RANK", "GROUP_RANK"};
  constexpr std::array<std::string_view, 3> kIdentityPrefixes{"OMPI_COMM_WORLD_", "PMIX_", "PMI_"};
  const bool identity =
      std::find(kIdentities.begin(), kIdentities.end(), name) != kIdentities.end() ||
      std::any_of(kIdentityPrefixes.begin(), kIdentityPrefixes.end(),
                  [&](std::string_view prefix) { return name.starts_with(prefix); });
  if (!identity || name.starts_with("PMIX_MCA_")) return {};
  return {
      in_quotes(name) + " tells each rank who it is, and a config gives every rank the same value",
      "leave it out; muster or mpirun sets it for each rank"};
}

Unfit check_data_name(std::string_view name) {
  const Unfit unfit = check_variable_name(name);
  constexpr std::size_t kLongest = 100;
  if (unfit.why.empty() && name.size() <= kLongest) return {};
  return {in_quotes(name) + " cannot be the name of data: it is part of a variable and of a path",
          "use at most 100 letters, digits and _, and no digit first"};
}

std::string duration_text(Milliseconds duration) {
  const auto count = duration.count();
  return count % 1000 == 0 ? std::to_string(count / 1000) + "s" : std::to_string(count) + "ms";
}

}  // namespace muster::config
