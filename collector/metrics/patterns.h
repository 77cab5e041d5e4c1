// Metrics in what ranks print: regular expressions, applied line by line.
//
// RE2 needs time linear in the line, whatever the expression: nobody's pattern can hold up a run.
#pragma once

#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "collector/metrics/sample.h"
#include "muster/result.h"

namespace muster::metrics {

struct PatternSpec {
  std::string name;       // of the metric; "": the expression's first group is the name
  std::string regex;      // one group, a number; without a name two, a name and a number
  std::string step = {};  // an expression with one group: the step of the line's values
  std::string only = {};  // an expression that a line has to match to be looked at

  bool operator==(const PatternSpec&) const = default;
};

constexpr std::size_t kLongestRegex = 500;

struct Preset {
  std::string_view name;
  PatternSpec spec;
};
// What frameworks print by themselves: huggingface, lightning, megatron, key=value.
std::span<const Preset> presets();
const Preset* find_preset(std::string_view name);

// "NAME=REGEX", or the name of a preset.  Errors: kUsage.
Result<PatternSpec> read_pattern(std::string_view text);

class Patterns {
 public:
  Patterns();
  Patterns(Patterns&&) noexcept;
  Patterns& operator=(Patterns&&) noexcept;
  ~Patterns();

  // Errors: kUsage, what is wrong with which expression.
  static Result<Patterns> compile(std::span<const PatternSpec> specs);

  bool empty() const;
  // Appends what a line says.
  void apply(std::string_view line, std::vector<Sample>& samples) const;
  // Changes when a pattern does: whoever has applied patterns to a stream remembers which.
  std::string key() const;

 private:
  struct One;
  std::vector<std::unique_ptr<One>> all_;
};

}  // namespace muster::metrics
