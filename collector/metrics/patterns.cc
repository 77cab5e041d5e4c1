#include "collector/metrics/patterns.h"

#include <array>
#include <cstdio>

#include <re2/re2.h>

#include "base/text.h"
#include "collector/metrics/metric_line.h"

namespace muster::metrics {
namespace {

// With nan and inf, which trainings print when it matters most.
#define MUSTER_NUMBER \
  "([-+]?(?:[0-9]+\\.?[0-9]*(?:[eE][-+]?[0-9]+)?|\\.[0-9]+(?:[eE][-+]?[0-9]+)?|(?i:nan|inf)))"

const std::array<Preset, 4>& all_presets() {
  static const std::array<Preset, 4> kPresets{{
      // {'loss': 0.5, 'learning_rate': 5e-05, 'epoch': 1.0}
      {"huggingface",
       {"", "'([A-Za-z_][\\w./-]*)': " MUSTER_NUMBER "\\b", "'step': ([0-9]+)", "^\\{'.*\\}\\s*$"}},
      // Epoch 0:  50%|#####     | 50/100 [00:01<00:01, 30.1it/s, v_num=0, train_loss=0.5]
      {"lightning",
       {"", "[ ,\\[]([A-Za-z_][\\w./-]*)=" MUSTER_NUMBER "(?:[,\\s\\]]|$)", "", "Epoch [0-9]+"}},
      // iteration 100/ 500 | learning rate: 1.5E-04 | lm loss: 7.29E+00 | loss scale: 1.0 |
      {"megatron",
       {"", "\\| *([A-Za-z][\\w ()./-]*): " MUSTER_NUMBER " ", "iteration +([0-9]+)/",
        "iteration +[0-9]+/ *[0-9]+ \\|"}},
      {"key=value",
       {"", "(?:^|[\\s,;(\\[])([A-Za-z_][\\w./-]*)=" MUSTER_NUMBER "(?:[,;)\\]\\s]|$)"}},
  }};
  return kPresets;
}

#undef MUSTER_NUMBER

RE2::Options options() {
  RE2::Options chosen;
  chosen.set_log_errors(false);
  chosen.set_max_mem(8 << 20);
  return chosen;
}

std::string in_quotes(std::string_view text) {
  return "\"" + without_controls(text) + "\"";
}

std::string title_of(const PatternSpec& spec) {
  return spec.name.empty() ? "the pattern" : "the pattern " + in_quotes(spec.name);
}

Result<std::unique_ptr<RE2>> compiled(const PatternSpec& spec, const std::string& regex,
                                      int groups) {
  if (regex.size() > kLongestRegex) {
    return fail(ErrorCode::kUsage, title_of(spec) + " is longer than " +
                                       std::to_string(kLongestRegex) + " characters");
  }
  auto re = std::make_unique<RE2>(regex, options());
  if (!re->ok()) {
    return fail(ErrorCode::kUsage,
                title_of(spec) + " is no regular expression: " + without_controls(re->error()) +
                    " in " + in_quotes(regex),
                "RE2's syntax holds: no look-ahead, no back-references");
  }
  const int has = re->NumberOfCapturingGroups();
  if (groups >= 0 && has != groups) {
    return fail(ErrorCode::kUsage,
                title_of(spec) + " has " + counted(has, "group") + ", and needs " +
                    (groups == 1 ? "one, around the number" : "two, around name and number"),
                groups == 1 ? "write for example loss=([0-9.eE+-]+); (?:…) groups without counting"
                            : "give it a name, or a group for it");
  }
  return re;
}

}  // namespace

std::span<const Preset> presets() {
  return all_presets();
}

const Preset* find_preset(std::string_view name) {
  for (const Preset& each : presets()) {
    if (each.name == name) return &each;
  }
  return nullptr;
}

Result<PatternSpec> read_pattern(std::string_view text) {
  if (const Preset* preset = find_preset(text)) return preset->spec;
  const std::size_t equals = text.find('=');
  if (equals == text.npos || equals == 0 || equals + 1 == text.size()) {
    std::vector<std::string> names;
    for (const Preset& each : presets()) names.emplace_back(each.name);
    return fail(
        ErrorCode::kUsage, in_quotes(text) + " is no pattern",
        "write NAME=REGEX, for example 'loss=loss: ([0-9.]+)', or one of " + join(names, ", "));
  }
  PatternSpec spec{std::string(text.substr(0, equals)), std::string(text.substr(equals + 1))};
  if (spec.name.size() > kLongestName) {
    return fail(ErrorCode::kUsage, "the name of a pattern is longer than 255 characters");
  }
  return spec;
}

struct Patterns::One {
  PatternSpec spec;
  std::unique_ptr<RE2> regex;
  std::unique_ptr<RE2> step;
  std::unique_ptr<RE2> only;

  void add(re2::StringPiece name, re2::StringPiece number, std::vector<Sample>& samples) const {
    const auto value = parse_number({number.data(), number.size()});
    if (!value || name.empty() || name.size() > kLongestName) return;
    samples.push_back({name.as_string(), *value, std::nullopt, std::nullopt, {}});
  }

  // A named metric has one value in a line, its first.
  void number(std::string_view line, std::vector<Sample>& samples) const {
    re2::StringPiece number;
    if (RE2::PartialMatch({line.data(), line.size()}, *regex, &number)) {
      add(spec.name, number, samples);
    }
  }

  void names_and_numbers(std::string_view line, std::vector<Sample>& samples) const {
    constexpr int kMostMatches = 200;
    re2::StringPiece rest(line.data(), line.size());
    re2::StringPiece name;
    re2::StringPiece number;
    for (int i = 0; i < kMostMatches; ++i) {
      if (!RE2::FindAndConsume(&rest, *regex, &name, &number) || number.data() == nullptr) return;
      add(name, number, samples);
      // The blank that ends one value may begin the next.
      const char* end = number.data() + number.size();
      rest.set(end, static_cast<std::size_t>(line.data() + line.size() - end));
    }
  }
};

Patterns::Patterns() = default;
Patterns::Patterns(Patterns&&) noexcept = default;
Patterns& Patterns::operator=(Patterns&&) noexcept = default;
Patterns::~Patterns() = default;

Result<Patterns> Patterns::compile(std::span<const PatternSpec> specs) {
  Patterns patterns;
  for (const PatternSpec& spec : specs) {
    auto one = std::make_unique<One>();
    one->spec = spec;
    MUSTER_TRY_ASSIGN(one->regex, compiled(spec, spec.regex, spec.name.empty() ? 2 : 1));
    if (!spec.step.empty()) {
      MUSTER_TRY_ASSIGN(one->step, compiled(spec, spec.step, 1));
    }
    if (!spec.only.empty()) {
      MUSTER_TRY_ASSIGN(one->only, compiled(spec, spec.only, -1));
    }
    patterns.all_.push_back(std::move(one));
  }
  return patterns;
}

bool Patterns::empty() const {
  return all_.empty();
}

void Patterns::apply(std::string_view line, std::vector<Sample>& samples) const {
  for (const auto& one : all_) {
    if (one->only && !RE2::PartialMatch({line.data(), line.size()}, *one->only)) continue;
    const std::size_t before = samples.size();
    one->spec.name.empty() ? one->names_and_numbers(line, samples) : one->number(line, samples);
    if (!one->step || samples.size() == before) continue;
    std::int64_t step = 0;
    if (!RE2::PartialMatch({line.data(), line.size()}, *one->step, &step)) continue;
    for (std::size_t i = before; i < samples.size(); ++i) samples[i].step = step;
  }
}

std::string Patterns::key() const {
  std::uint64_t hash = 14695981039346656037ULL;  // FNV-1a
  for (const auto& one : all_) {
    for (const std::string* text :
         {&one->spec.name, &one->spec.regex, &one->spec.step, &one->spec.only}) {
      for (const char c : *text + '\0') {
        hash = (hash ^ static_cast<unsigned char>(c)) * 1099511628211ULL;
      }
    }
  }
  char text[20];
  std::snprintf(text, sizeof text, "%016llx", static_cast<unsigned long long>(hash));
  return text;
}

}  // namespace muster::metrics
